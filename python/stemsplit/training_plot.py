"""A picture of a training's log: its loss, smoothed, and its validations."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemsplit.errors import MissingExtraError
from stemsplit.files import replaced

_SMOOTHED_STEPS = 50


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def empty_figure() -> Figure:
    """Give a figure to draw in.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed: better known before a training of hours than after it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        what = "cannot draw the training's log"
        raise MissingExtraError.of(what, "matplotlib", "plot") from error
    return Figure(figsize=(8, 5), layout="constrained")


def plot_log(log: Path, picture: Path) -> None:
    """Draw a training's ``log.csv`` as an SVG file, or raise as `empty_figure` does."""
    figure = empty_figure()
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = np.array([int(row["step"]) for row in rows])
    losses = np.array([float(row["loss"]) for row in rows])
    validated = [row for row in rows if row["validation_loss"]]
    training, validation = figure.subplots(2, 1, sharex=True)
    training.plot(steps, losses, color="0.8", linewidth=0.7, label="each step")
    training.plot(steps, _smoothed(losses), label=f"mean of {_SMOOTHED_STEPS} steps")
    training.set_ylabel("training loss")
    training.legend(frameon=False)
    validation.plot(
        [int(row["step"]) for row in validated],
        [float(row["validation_loss"]) for row in validated],
        marker=".",
    )
    validation.set_ylabel("validation loss")
    validation.set_xlabel("step")
    with replaced(picture) as temporary:
        figure.savefig(temporary, format="svg")


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Give the mean of so many values up to each, of fewer at the start."""
    sums = np.cumsum(np.concatenate(([0.0], values)))
    stops = np.arange(1, len(values) + 1)
    starts = np.maximum(0, stops - _SMOOTHED_STEPS)
    means: np.ndarray = (sums[stops] - sums[starts]) / (stops - starts)
    return means
