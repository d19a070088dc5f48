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


def hearing_gains(blocks: Iterable[Audio]) -> tuple[float, ...]:
    """Give by how much a song has to be louder to be as loud as those a network knows.

    What has a root mean square below -20 dB of full scale is brought there, but by 60 dB at most
    and no further than its peak to full scale, as what is silent for long is louder than it seems.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. All are taken, as the length that a file claims
        is not to be relied on, unless their peaks alone forbid any gain.

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
        if all(peak[at : at + 2].max() >= 1 for at in range(0, len(peak), 2)):
            return AS_IT_IS
    power = power / max(count, 1)
    firsts = range(0, len(power), 2)
    return tuple(_gain(power[at : at + 2].mean(), peak[at : at + 2].max()) for at in firsts)


def _gain(power: float, peak: float) -> float:
    if not power:
        return 1.0
    return max(1.0, min(_QUIETEST / math.sqrt(power), 1 / peak, _MOST))
