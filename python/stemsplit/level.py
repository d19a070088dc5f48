"""How loud a network hears a song: one taught at usual levels is lost in what is far from them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

AS_IT_IS = (1.0,)
"""Gains of a song that is heard as it is."""

# RMS, -20 and -10 dB of full scale: what mixtures have that keep no headroom and are not mastered.
_QUIETEST, _LOUDEST = 0.1, 10**-0.5
_MOST = 1e3  # 60 dB: of what is quieter, 16 bits have left next to nothing


def hearing_gains(blocks: Iterable[Audio]) -> tuple[float, ...]:
    """Give by how much a song has to be louder to be as loud as those a network knows.

    What has a root mean square below -20 dB of full scale is brought there, but by 60 dB at most
    and no further than its peak to full scale, as what is silent for long is louder than it seems.
    What is louder than -10 dB is brought down to that.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. All are taken, as the length that a file claims
        is not to be relied on.

    Returns
    -------
    tuple of float
        Factors of amplitudes: one for each pair of channels, the last channel of an odd number by
        itself; or one for all.
    """
    power, peak, count = np.zeros(1), np.zeros(1), 0
    for block in blocks:
        power = power + np.square(block, dtype=np.float64).sum(axis=1)
        peak = np.maximum(peak, np.abs(block).max(axis=1, initial=0))
        count += block.shape[1]
    power = power / max(count, 1)
    firsts = range(0, len(power), 2)
    return tuple(_gain(power[at : at + 2].mean(), peak[at : at + 2].max()) for at in firsts)


def _gain(power: float, peak: float) -> float:
    if not power:
        return 1.0
    level = math.sqrt(power)
    if level > _LOUDEST:
        return _LOUDEST / level
    return max(1.0, min(_QUIETEST / level, 1 / peak, _MOST))
