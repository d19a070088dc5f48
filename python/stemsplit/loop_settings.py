"""What a training's course depends on: steps, rate, optimiser, averages. Frozen, validated once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stemsplit.errors import UsageError
from stemsplit.optimizers import OPTIMIZERS

_SEEDS = 1 << 31  # so many steps' own seeds, times a million, are numbers that torch takes


@dataclass(frozen=True)
class LoopSettings:
    """What a training's result depends on, apart from its task, data, device and thread count.

    Attributes
    ----------
    steps:
        Optimiser steps in all.
    learning_rate:
        Its peak: it rises linearly over ``warmup`` steps and falls to zero along a cosine.
    optimizer:
        ``adamw``, or ``muon``: see `stemsplit.optimizers`.
    weight_decay:
        Of either.
    average:
        Decay a step of the exponentially averaged weights, which validation and export take; 0
        takes the weights as they are. It begins lower, as long as the average holds few steps.
    validate_every:
        Steps between validations, each followed by a checkpoint.
    patience:
        Validations without a better one that end the training early; 0 never does.
    precision:
        ``float32``, or ``bfloat16`` for mixed precision.
    seed:
        Of the first weights, the remixes and the dropout.
    """

    steps: int = 4000
    learning_rate: float = 2e-3
    warmup: int = 100
    optimizer: str = "adamw"
    weight_decay: float = 1e-2
    average: float = 0.0
    validate_every: int = 250
    patience: int = 0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "validate_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="at least 1")
        for name in ("learning_rate", "weight_decay", "warmup", "patience"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise UsageError(f"bad {name}", got=value, wanted="a number from 0")
        if not 0 <= self.seed < _SEEDS:
            raise UsageError("bad seed", got=self.seed, wanted=f"0 to {_SEEDS - 1}")
        if not 0 <= self.average < 1:
            raise UsageError("bad average", got=self.average, wanted="from 0 to below 1")
        if self.optimizer not in OPTIMIZERS:
            wanted = " or ".join(OPTIMIZERS)
            raise UsageError("bad optimizer", got=self.optimizer, wanted=wanted)
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError("bad precision", got=self.precision, wanted="float32 or bfloat16")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def check_same(settings: Mapping[str, object], kept: Mapping[str, object]) -> None:
    """See that a training goes on with the settings that its checkpoint keeps.

    Raises
    ------
    UsageError
        It does not; those that differ are named, as ``--set`` names them.
    """
    got, wanted = dict(_leaves(settings)), dict(_leaves(kept))
    other = sorted(key for key in got | wanted if got.get(key) != wanted.get(key))
    if other:
        raise UsageError(
            "the checkpoint was made with other settings",
            got=", ".join(f"{key} = {got.get(key)}" for key in other),
            wanted=", ".join(f"{key} = {wanted.get(key)}" for key in other),
            remedy="resume with the settings the training was begun with",
        )


def _leaves(settings: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Give the settings of all tables, each by its table's name and its own."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key, value
