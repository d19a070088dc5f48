"""How loud a network hears a song: one taught by finished songs is lost in very quiet ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

_QUIETEST = 0.1  # RMS, -20 dB of full scale: what songs are at least, unless they keep headroom


def hearing_gain(blocks: Iterable[Audio], samples: int | None = None) -> float:
    """Give by how much a song has to be louder to be as loud as those a network knows.

    A song whose root mean square is below -20 dB of full scale is brought there, but no further
    than its peak to full scale, as one silent for long is louder than it seems.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. No more of them are taken than it needs.
    samples:
        Of all blocks and channels together, where that is known.

    Returns
    -------
    float
        A factor of amplitudes, 1 or more.
    """
    energy, peak, count = 0.0, 0.0, 0
    for block in blocks:
        energy += float(np.square(block, dtype=np.float64).sum())
        peak = max(peak, float(np.abs(block).max(initial=0)))
        count += block.size
        if peak >= 1 or (samples and energy >= _QUIETEST**2 * samples):
            return 1.0  # what follows can only make it louder
    if not energy:
        return 1.0
    return max(1.0, min(_QUIETEST / math.sqrt(energy / count), 1 / peak))
