"""The training loop: steps, schedule, averaged weights, validation, checkpoints, for any task."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stemsplit.batches import Batch, batches, makers_watched
from stemsplit.checkpoints import BEST, CHECKPOINT, check_folder, fill, read_saved
from stemsplit.errors import InputError, StemsplitError
from stemsplit.files import replaced
from stemsplit.loop_settings import LoopSettings, check_same
from stemsplit.optimizers import optimizers_for
from stemsplit.team import Team

_CLIP_NORM = 5.0


@dataclass(frozen=True)
class Validation:
    """Figures over the validation songs, without remixing.

    Attributes
    ----------
    loss:
        What chooses the best weights: less is better.
    figures:
        By name and source.
    """

    loss: float
    figures: dict[str, dict[str, float]]


@dataclass(frozen=True)
class TrainingEvent:
    """One finished step: its number from 1, loss, rate, seconds, and a validation if due."""

    step: int
    loss: float
    learning_rate: float
    seconds: float
    validation: Validation | None


class Task(Protocol):
    """What a training needs to know of the network it trains."""

    architecture: str

    def first_network(self) -> nn.Module:
        """Draw the network a training begins with."""

    def at_step(self, network: nn.Module, step: int) -> nn.Module:
        """Give the network to train from a step on: the same, or one made of it."""

    def batch(self, step: int, part: int = 0) -> tuple[Tensor, ...]:
        """Make a step's batch, on the CPU; it depends on the seed, the step and the part alone.

        A part is the share of one of several processes.
        """

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Give the loss of a batch, a scalar."""

    def validate(self, network: nn.Module) -> Validation | None:
        """Measure the network, in evaluation mode; None without validation songs."""

    def card_facts(self) -> dict[str, Any]:
        """Give what the model's card says of its input and output."""

    def finished(self, network: nn.Module) -> nn.Module:
        """Give the network to export, from a trained one in evaluation mode."""


class _Lesson(nn.Module):
    """A network with its loss as output, which is what processes can share the gradients of."""

    def __init__(self, task: Task, network: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.network = network

    def forward(self, *batch: Tensor) -> Tensor:
        return self._task.loss(self.network, batch)


class Training:
    """A training run in a folder, from its beginning or from its last checkpoint.

    The folder holds ``checkpoint.pt`` (weights, optimiser, step) and ``best.pt`` (the weights with
    the lowest validation loss), both written atomically. A step's batch and dropout depend on the
    seed and the step alone, so a run that was killed and resumed on the same kind of device with
    as many threads ends bit for bit where an undisturbed one ends; in a team of three or more
    processes but for rounding, as gradients are summed in another order at first.

    Parameters
    ----------
    task:
        What is trained.
    folder:
        The run's folder.
    settings:
        See `LoopSettings`.
    device:
        Where to train.
    resume:
        Go on from the folder's checkpoint. Without it, a folder that has one is refused.
    start:
        Begin with the weights of another training instead of random ones: the folder of a run, of
        which the best are taken, or the card of a model of the same kind, perhaps a smaller one.
        The exported ``paper`` is of another kind than the one that is trained.
    facts:
        Further settings, which a resumed training must share; `facts` holds them all afterwards.
    team:
        The processes that train together; each takes a batch of its own in every step.

    Raises
    ------
    OutputError
        A checkpoint is there and ``resume`` is False.
    UsageError
        The checkpoint was made with other settings.
    InputError
        ``resume`` without a checkpoint, or ``start`` without weights that fit.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        settings: LoopSettings,
        *,
        device: torch.device | None = None,
        resume: bool = False,
        start: Path | None = None,
        facts: dict[str, Any] | None = None,
        team: Team | None = None,
    ) -> None:
        self.task = task
        self.team = team or Team()
        self.settings = settings
        self.folder = folder
        self.device = device or torch.device("cpu")
        self.step = 0
        self.best_loss = math.inf
        self.best: Validation | None = None
        self._stale = 0
        self.facts = {"training": dataclasses.asdict(settings), **(facts or {})}
        if self.team.size > 1:
            self.facts["processes"] = self.team.size
        self._fingerprint = json.dumps(self.facts)
        first = task.at_step(task.first_network(), 0)
        if start is not None and not resume:
            fill(first, start, self.facts.get("network", {}))
        self._use(first)
        self._begin(resume)

    def run(self, on_event: Callable[[TrainingEvent], None] | None = None) -> nn.Module:
        """Train to the last step and give the best network, in evaluation mode.

        A step's event comes before its checkpoint is written.

        Raises
        ------
        StemsplitError
            A loss or a gradient that is not finite; what was saved before stays. Or a process that
            makes batches has ended.
        """
        steps = range(self.step, self.settings.steps)
        with makers_watched(), closing(batches(self._batch, steps, self.device)) as ahead:
            while self.step < self.settings.steps and not self._out_of_patience:
                started = time.perf_counter()
                loss = self._train_step(next(ahead))
                self.step += 1
                due = not self.step % self.settings.validate_every or self.step == steps.stop
                validation = self._validated() if due else None
                if on_event is not None:  # before it is saved: a log may have steps too many
                    rate = self.settings.rate_at(self.step - 1)
                    seconds = time.perf_counter() - started
                    on_event(TrainingEvent(self.step, loss, rate, seconds, validation))
                if due:
                    self._save_all(validation)
        state = read_saved(self.folder / BEST)
        network = self.task.at_step(self.task.first_network(), state["step"] - 1)
        network.load_state_dict(state["network"])
        return network.eval()

    def _batch(self, step: int) -> Batch:
        return self.task.batch(step, self.team.rank)

    def _check_sound(self, value: float, step: int, name: str = "a loss") -> None:
        """Refuse to go on with what is no number, which no later step makes good."""
        if not math.isfinite(value):
            raise StemsplitError(
                f"the training has diverged at step {step}",
                got=f"{name} of {value}",
                remedy="begin anew with a lower learning_rate, or a longer warmup",
            )

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self.settings.patience <= self._stale

    def _use(self, network: nn.Module) -> None:
        """Train a network from here on, with a fresh optimiser."""
        self.network = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._lesson = self.team.wrapped(_Lesson(self.task, self.network))
        self.average = copy.deepcopy(self.network).eval() if self.settings.average else None
        self._optimizers = optimizers_for(
            self.network,
            self.settings.optimizer,
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )

    def _advance(self, step: int) -> None:
        network = self.task.at_step(self.network, step)
        if network is not self.network:
            average = self.average
            self._use(network)
            if average is not None:
                self.average = self.task.at_step(average, step).eval()

    def _begin(self, resume: bool) -> None:
        check_folder(self.folder, resume=resume)
        if not resume:
            return
        if self.team.rank == 0:
            for name in (CHECKPOINT, BEST):  # what a kill left as they were written
                for left in self.folder.glob(f".{name}.*.tmp"):
                    left.unlink()
        state = read_saved(self.folder / CHECKPOINT)
        if state["best"]:  # without which the training could not end
            if not (self.folder / BEST).exists():
                raise InputError(f"nothing to resume in {self.folder}", wanted=f"a {BEST} too")
            read_saved(self.folder / BEST)
        check_same(json.loads(self._fingerprint), json.loads(state["settings"]))
        self._advance(state["step"] - 1)
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self._stale = state["step"], state["stale"]
        self.best_loss = state["best_loss"]
        self.best = Validation(**state["best"]) if state["best"] else None

    def _train_step(self, batch: tuple[Tensor, ...]) -> float:
        settings = self.settings
        self._advance(self.step)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.rate_at(self.step)
        # Seeded by the step, so that dropout is the same after a resume.
        torch.manual_seed((settings.seed * 1_000_003 + self.step) * self.team.size + self.team.rank)
        self.network.train()
        with self._precision():
            moved = (part.to(self.device, non_blocking=True) for part in batch)
            loss: Tensor = self._lesson(*moved)
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self._check_sound(float(loss.detach()), self.step + 1)
        self._check_sound(float(norm), self.step + 1, "a gradient")  # before the weights are NaN
        for optimizer in self._optimizers:
            optimizer.step()
        if self.average is not None:
            self._update_average(self.average)
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self, average: nn.Module) -> None:
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        values = self.network.state_dict()
        for name, kept in average.state_dict().items():
            if kept.dtype.is_floating_point:
                kept.lerp_(values[name], 1 - decay)
            else:
                kept.copy_(values[name])

    def _precision(self) -> torch.autocast:
        mixed = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=mixed)

    @property
    def _chosen(self) -> nn.Module:
        """The network that is validated and exported."""
        return self.average if self.average is not None else self.network.eval()

    def _validated(self) -> Validation | None:
        chosen = self._chosen
        validation = None
        if self.team.rank == 0:
            with self._precision():
                validation = self.task.validate(chosen)
        validation = self.team.told(validation)
        if validation:
            self._check_sound(validation.loss, self.step)
        return validation

    def _save_all(self, validation: Validation | None) -> None:
        """Write the checkpoint, and before it the best weights where they are these."""
        loss = validation.loss if validation else -math.inf
        self._stale += 1
        if loss <= self.best_loss:
            self.best_loss, self.best, self._stale = loss, validation, 0
            self._save(BEST, {"network": self._chosen.state_dict(), "step": self.step})
        state = {
            "settings": self._fingerprint,
            "step": self.step,
            "stale": self._stale,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "best_loss": self.best_loss,
            "best": dataclasses.asdict(self.best) if self.best else None,
        }
        self._save(CHECKPOINT, state)
        self.team.told(None)  # nobody reads what is not yet written

    def _save(self, name: str, state: dict[str, object]) -> None:
        if self.team.rank:
            return
        # In memory first: on a full disk torch tells of a fault of its own.
        saved = io.BytesIO()
        torch.save(state, saved)
        with replaced(self.folder / name) as temporary:
            temporary.write_bytes(saved.getbuffer())
