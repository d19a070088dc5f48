"""From what the network says of its bins to masks over the whole band."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

THRESHOLD = 0.5
"""A hard mask is 1 where the network's probability is above this."""

FloatArray = npt.NDArray[np.float32]


def full_band_masks(
    known: FloatArray, bins: int, *, soft: bool, exclusive: bool = False
) -> FloatArray:
    """Give the masks of all bins from what the network says of the lowest ones.

    Below the network's limit a mask is the network's value (soft), or 1 where that is above one
    half (hard, as in the paper), or where it is the largest of the stems' (hard and exclusive).
    Above it, every frame follows the octave just below the limit: each stem's mean value there,
    divided by the sum over the stems, is its share of the band above (soft), or the stem with the
    largest mean takes the band (hard). The shares sum to one, so nothing above the limit is lost.

    Parameters
    ----------
    known:
        float32 (stems, channels, frames, network bins), 0 to 1.
    bins:
        Bins of the spectrogram, at least as many as the network's.
    soft:
        The network's values instead of 0 and 1.
    exclusive:
        A bin belongs to one stem when it is not soft.

    Returns
    -------
    numpy.ndarray
        float32 (stems, channels, frames, bins); ``known`` itself where nothing is to be done.
    """
    limit = known.shape[3]
    if soft and bins == limit:
        return known
    masks = np.empty((*known.shape[:3], bins), np.float32)
    below, above = masks[..., :limit], masks[..., limit:]
    if soft:
        below[:] = known
    elif exclusive:
        below[:] = _largest(known)
    else:
        np.greater(known, THRESHOLD, out=below, casting="unsafe")
    if bins > limit:
        shares = band_shares(known)
        above[:] = (shares if soft else _largest(shares))[..., None]
    return masks


def band_shares(known: FloatArray) -> FloatArray:
    """Share of each stem in the band above the network's limit: float32 (stems, channels, frames).

    The mean value over the octave below the limit, divided by its sum over the stems; equal
    shares where all of them are 0.
    """
    return shares_of(known[..., known.shape[3] // 2 :].mean(axis=3))


def shares_of(octave: FloatArray) -> FloatArray:
    """Give each stem's part of the sum over the stems, (stems, ...); equal ones where that is 0."""
    total = octave.sum(axis=0)
    shares: FloatArray = octave / np.where(total > 0, total, np.float32(1))
    shares[:, total == 0] = 1 / len(shares)
    return shares


def _largest(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Where a stem's value is the largest, the first of equals: of the shape of the values."""
    stems = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    largest: npt.NDArray[np.bool_] = values.argmax(axis=0) == stems
    return largest
