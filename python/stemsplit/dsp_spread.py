"""What the transforms' arrays are called, and how rows of few values become a gain for each bin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stemsplit import _core
from stemsplit import dsp_arguments as arguments
from stemsplit.dsp_arguments import size

Signal = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Masks = NDArray[np.float32]
Window = NDArray[np.float32] | NDArray[np.float64]


class Spread(_core.Spread):
    """How a row of values becomes a gain for every bin, linearly between two neighbours.

    Bin ``k`` gets ``(1 - weights[k]) * values[below[k]] + weights[k] * values[below[k] + 1]``.

    Parameters
    ----------
    below:
        Integers ``(bins,)``, from 0 to ``values - 2``.
    weights:
        Finite floats ``(bins,)``, of which float32 is kept.
    values:
        How many a row has.

    Raises
    ------
    TypeError
        Something else than an array of integers, or of floats.
    ValueError
        Not as many weights as bins, one that is not finite, or a value that is not there.
    """

    def __init__(self, below: NDArray[np.intp], weights: NDArray[np.float32], values: int) -> None:
        super().__init__(
            arguments.places("below", below),
            arguments.weights("weights", weights),
            size("values", values),
        )


def check_spread(spread: Spread | None) -> None:
    """See that something is a spread, or nothing; raises `TypeError`."""
    if not isinstance(spread, Spread | None):
        raise TypeError(f"spread: got {type(spread).__name__}, wanted a Spread or None")
