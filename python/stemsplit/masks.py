"""From what the network says of its bins to masks over the whole band."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

THRESHOLD = 0.5
"""A hard mask is 1 where the network's probability is above this."""

FloatArray = npt.NDArray[np.float32]


def full_band_masks(
    probabilities: FloatArray, bins: int, *, soft: bool, out: FloatArray | None = None
) -> FloatArray:
    """Give the masks of all bins from the probabilities of the lowest ones.

    Below the network's limit a mask is the probability (soft), or 1 where that is above one half
    (hard, as in the paper). Above it, every frame follows the octave just below the limit: each
    stem's mean probability there, divided by the sum over the stems, is its share of the band
    above (soft), or the stem with the largest mean takes the band (hard). The shares sum to one,
    so nothing above the limit is lost.

    Parameters
    ----------
    probabilities:
        float32 (stems, frames, network bins), 0 to 1.
    bins:
        Bins of the spectrogram, at least as many as the network's.
    soft:
        Probabilities instead of 0 and 1.
    out:
        Where to write the result.

    Returns
    -------
    numpy.ndarray
        float32 (stems, 1, frames, bins).
    """
    stems, frames, known = probabilities.shape
    masks = np.empty((stems, 1, frames, bins), np.float32) if out is None else out
    below, above = masks[:, 0, :, :known], masks[:, 0, :, known:]
    if soft:
        below[:] = probabilities
    else:
        np.greater(probabilities, THRESHOLD, out=below, casting="unsafe")
    if bins > known:
        shares = band_shares(probabilities)
        if not soft:
            shares = (shares.argmax(axis=0) == np.arange(stems)[:, None]).astype(np.float32)
        above[:] = shares[..., None]
    return masks


def band_shares(probabilities: FloatArray) -> FloatArray:
    """Share of each stem in the band above the network's limit: float32 (stems, frames).

    The mean probability over the octave below the limit, divided by its sum over the stems; equal
    shares where all of them are 0.
    """
    octave = probabilities[:, :, probabilities.shape[2] // 2 :].mean(axis=2)
    total = octave.sum(axis=0)
    shares: FloatArray = octave / np.where(total > 0, total, np.float32(1))
    shares[:, total == 0] = 1 / len(shares)
    return shares
