"""The files that a training keeps in its folder, and what another one begins with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stemsplit.errors import InputError, OutputError
from stemsplit.growth import embed
from stemsplit.models import load_network

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
# What weights mean nothing without: the spectrogram and the bands that they were trained for.
_SAME = ("sample_rate", "n_fft", "hop_length", "magnitude_power", "single_bands")
_SAME_OF_SIZE = ("bands", "dilations")


def check_folder(folder: Path, *, resume: bool) -> None:
    """See that a run's folder holds a checkpoint where one is to be resumed, and else none.

    Raises
    ------
    InputError, OutputError
        It does not; it does.
    """
    there = (folder / CHECKPOINT).exists()
    if there and not resume:
        raise OutputError(
            f"{folder} holds a training already",
            remedy="pass --resume to go on with it, or choose another folder",
        )
    if resume and not there:
        raise InputError(f"nothing to resume in {folder}", wanted=f"a {CHECKPOINT}")


def fill(network: nn.Module, start: Path, settings: Mapping[str, Any]) -> None:
    """Give a network the weights that a training begins with.

    Parameters
    ----------
    network:
        As large as those weights' own or larger, see `stemsplit.growth.embed`.
    start:
        A run's folder, or a model's card.
    settings:
        Of the network, as `Training.facts` has them.

    Raises
    ------
    InputError
        No weights, or those of another kind of network or for another spectrogram.
    ModelError
        See `stemsplit.models.load_network`.
    """
    try:
        if start.is_dir():
            weights = read_saved(start / BEST)["network"]
            kept = start / CHECKPOINT
            theirs = json.loads(read_saved(kept)["settings"]) if kept.exists() else {}
        else:
            card, given = load_network(start, torch.device("cpu"))
            weights, theirs = given.state_dict(), card.training
        for name, got, wanted in _differences(theirs.get("network", {}), settings):
            raise InputError(
                f"cannot begin from {start}, which has another {name}",
                got=got,
                wanted=wanted,
                remedy="set it in [network], or choose another --start",
            )
        embed(network, weights)
    # RuntimeError: names or shapes that do not fit; the last two: a file of something else.
    except (OSError, RuntimeError, LookupError, TypeError) as error:
        raise InputError(
            f"cannot begin from {start}",
            got=str(error).split(". ")[0],
            wanted="a run's folder, or the .json card of a model, of the same kind and no larger",
        ) from error


def _differences(
    theirs: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Give the names and values of what has to be the same and is not, where both tell."""
    for names, one, other in (
        (_SAME, theirs, settings),
        (_SAME_OF_SIZE, theirs.get("size", {}), settings.get("size", {})),
    ):
        for name in names:
            if name in one and name in other and _plain(one[name]) != _plain(other[name]):
                yield name, one[name], other[name]


def _plain(value: Any) -> Any:
    """Give a value as JSON would hold it."""
    return list(value) if isinstance(value, tuple) else value


def read_saved(path: Path) -> dict[str, Any]:
    """Read what `Training` saved; raises `InputError` where it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many kinds: no zip, a part missing, something but tensors
        raise InputError(
            f"cannot read {path}",
            got=f"{type(error).__name__}: {str(error).split('. ')[0]}",
            wanted="a file that stemsplit train wrote",
        ) from error
    return state
