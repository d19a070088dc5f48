"""How loud a network hears a song: one taught by finished songs is lost in very quiet ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

AS_IT_IS = (1.0,)
"""Gains of a song that is heard as it is."""

_QUIETEST = 0.1  # RMS, -20 dB of full scale: what songs have at least, unless they keep headroom
_MOST = 1e3  # 60 dB: of what is quieter, 16 bits have left next to nothing


def hearing_gains(blocks: Iterable[Audio], samples: int | None = None) -> tuple[float, ...]:
    """Give by how much a song has to be louder to be as loud as those a network knows.

    What has a root mean square below -20 dB of full scale is brought there, but by 60 dB at most
    and no further than its peak to full scale, as what is silent for long is louder than it seems.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. No more of them are taken than it needs.
    samples:
        Of all blocks together, for each channel, where that is known.

    Returns
    -------
    tuple of float
        Factors of amplitudes, 1 or more: one for each pair of channels, the last channel of an odd
        number by itself; or one for all.
    """
    power, peak, count = np.zeros(1), np.zeros(1), 0
    for block in blocks:
        power = power + np.square(block, dtype=np.float64).sum(axis=1)
        peak = np.maximum(peak, np.abs(block).max(axis=1, initial=0))
        count += block.shape[1]
        # What follows can only make it louder.
        if max(_gains(power / (samples or math.inf), peak)) == 1:
            return AS_IT_IS
    gains = _gains(power / max(count, 1), peak)
    return tuple(gain if math.isfinite(gain) else 1.0 for gain in gains)


def _gains(power: npt.NDArray[np.float64], peak: npt.NDArray[np.float64]) -> list[float]:
    """Give the gain of each pair of channels from those of each; silence would take any."""
    firsts = range(0, len(power), 2)
    return [_gain(power[at : at + 2].mean(), peak[at : at + 2].max()) for at in firsts]


def _gain(power: float, peak: float) -> float:
    if not peak:
        return math.inf
    return max(1.0, min(_QUIETEST / math.sqrt(power) if power else math.inf, 1 / peak, _MOST))
