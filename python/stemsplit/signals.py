"""What a mask should be: downmixed magnitudes, binary targets and ideal masks, in NumPy alone."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Spectrum: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


def downmix_magnitude(spec: Spectrum) -> FloatArray:
    """Root mean square of the channels' magnitudes, which no phase between channels cancels.

    Parameters
    ----------
    spec:
        Complex, shape (..., channels, frames, bins).

    Returns
    -------
    numpy.ndarray
        Real, of the same precision, shape (..., 1, frames, bins).
    """
    magnitude: FloatArray = np.sqrt(_downmix_power(spec))
    return magnitude


def binary_target(
    source: Spectrum, rest: Spectrum, *, downmix: bool = False
) -> npt.NDArray[np.bool_]:
    """Where a source is louder than everything else: the mask the paper's network learns.

    Parameters
    ----------
    source:
        Spectrum of the source, shape (..., channels, frames, bins).
    rest:
        Spectrum of everything else in the mixture, mixture minus source, of the same shape. It is
        a complex sum: sources that cancel one another do not count.
    downmix:
        Compare :func:`downmix_magnitude` of the two instead of channel by channel.

    Returns
    -------
    numpy.ndarray
        Boolean, shape (..., channels, frames, bins), or one channel after a downmix. A tie, silence
        among them, is False.
    """
    if downmix:
        louder: npt.NDArray[np.bool_] = downmix_magnitude(source) > downmix_magnitude(rest)
    else:
        louder = _power(source) > _power(rest)
    return louder


def ideal_binary_masks(
    stems: Spectrum, mixture: Spectrum, *, downmix: bool = False
) -> npt.NDArray[np.float32]:
    """Binary masks that know the stems: the ceiling of every hard mask.

    Parameters
    ----------
    stems:
        Spectra of all stems, shape (stems, channels, frames, bins).
    mixture:
        Spectrum of the mixture, shape (channels, frames, bins).
    downmix:
        One mask for all channels, from :func:`downmix_magnitude`.

    Returns
    -------
    numpy.ndarray
        0 or 1, shape (stems, channels or 1, frames, bins): :func:`binary_target` of each stem
        against ``mixture - stem``. At most one stem is 1 in a bin when the mixture is the sum of
        two stems; with more, loud stems in opposite phase may both be.
    """
    masks = [binary_target(stem, mixture - stem, downmix=downmix) for stem in stems]
    return np.stack(masks).astype(np.float32)


def ideal_ratio_masks(stems: Spectrum, *, downmix: bool = False) -> npt.NDArray[np.float32]:
    """Each stem's share of the power: the field's oracle for soft masks.

    ``|s_j|^2 / sum_k |s_k|^2``, the "IRM2" of Stöter, Liutkus and Ito, "The 2018 Signal Separation
    Evaluation Campaign", LVA/ICA 2018.

    Parameters
    ----------
    stems:
        Spectra of all stems, shape (stems, channels, frames, bins).
    downmix:
        One mask for all channels, from the power of all of them.

    Returns
    -------
    numpy.ndarray
        From 0 to 1, shape (stems, channels or 1, frames, bins). They sum to 1 in every bin; a bin
        where every stem is silent is shared equally.
    """
    # Stem by stem and in place, as the spectra of a whole song are large.
    masks = np.stack([_downmix_power(stem) if downmix else _power(stem) for stem in stems])
    total = np.sum(masks, axis=0)
    silent = total == 0
    masks /= np.where(silent, 1, total)
    masks[:, silent] = 1 / len(masks)
    return masks.astype(np.float32, copy=False)


def _downmix_power(spec: Spectrum) -> FloatArray:
    power: FloatArray = np.mean(_power(spec), axis=-3, keepdims=True)
    return power


def _power(spec: Spectrum) -> FloatArray:
    return np.square(spec.real) + np.square(spec.imag)
