"""How good masks and estimates are: mask accuracy, mask MSE, SI-SDR, SDR and SNR, in float64.

Three ratios compare an estimate ``e`` with its reference ``s`` over a whole excerpt, in dB; they
differ in what of ``e`` counts as the wanted signal:

======== ====================================== =============================================
metric   wanted part of the estimate            everything else is distortion
======== ====================================== =============================================
SNR      ``s`` itself                           a wrong level and a coloured sound, too
SI-SDR   ``a s``, the best single gain          a coloured sound, too
SDR      ``h * s``, the best 512-tap filter     interference and artefacts only
======== ====================================== =============================================

A gain is a filter of one tap, so SDR is never below SI-SDR. The paper's abstract, all of it that
we have, reports the three under these names without defining them; its figures fit this reading
(its SDR lies 0.5 to 1 dB above its SI-SDR at both ends of the range, its SNR does not), and these
are the three ratios that evaluation toolkits ship side by side under those names.

Mind the name: what recent work calls "SDR over the whole excerpt" (Mitsufuji et al., "Music
Demixing Challenge 2021", Frontiers in Signal Processing 1, 2022) is the plain energy ratio, SNR
here. The SDR of BSS Eval version 4, in :mod:`stemsplit.bsseval`, is that same plain ratio in frames
of 1 s.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

RealArray: TypeAlias = npt.NDArray[np.floating[Any]]

FILTER_TAPS = 512
"""Length of the distortion filter that SDR forgives, as in BSS Eval since version 2."""

_LOADING = 1e-12
# Added to the diagonal of the normalised autocorrelation, so that a narrow-band reference (a hum,
# a lossy codec's empty treble) keeps the system solvable. It bounds the SDR at about 120 dB.


def mask_accuracy(prediction: RealArray, target: npt.NDArray[np.bool_]) -> float:
    """Share of time-frequency bins in which a mask cut at 0.5 equals the target.

    Parameters
    ----------
    prediction:
        Mask before the cut, from 0 to 1, any shape.
    target:
        Boolean, the same shape (:func:`stemsplit.signals.binary_target`).

    Returns
    -------
    float
        From 0 to 1; NaN without bins.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check_shapes(prediction, target)
    return float(np.mean((prediction > 0.5) == target)) if target.size else float("nan")


def mask_mse(prediction: RealArray, target: npt.NDArray[np.bool_]) -> float:
    """Mean squared difference between a mask before the cut and the binary target.

    Parameters, errors and NaN are those of :func:`mask_accuracy`.
    """
    _check_shapes(prediction, target)
    if not target.size:
        return float("nan")
    return float(np.mean(np.square(prediction - target, dtype=np.float64)))


def snr(reference: RealArray, estimate: RealArray) -> float:
    """Signal-to-noise ratio: ``10 log10(|s|^2 / |s - e|^2)`` over all channels and samples.

    No gain, no filter: the "SDR over the whole excerpt" of the music demixing challenges.

    Parameters
    ----------
    reference, estimate:
        Real signals of one shape, (channels, samples) or (samples,).

    Returns
    -------
    float
        dB; infinite for a perfect estimate, 0 for a silent one, NaN if the reference is silent.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    s, e = _pair(reference, estimate)
    energy = _energy(s)
    return _ratio_db(energy, _energy(s - e)) if energy != 0 else float("nan")


def si_sdr(reference: RealArray, estimate: RealArray) -> float:
    """Scale-invariant SDR: ``10 log10(|a s|^2 / |a s - e|^2)`` with ``a = <e, s> / |s|^2``.

    Le Roux, Wisdom, Erdogan and Hershey, "SDR: half-baked or well done?", ICASSP 2019. All channels
    share one gain, and the mean is kept.

    Parameters
    ----------
    reference, estimate:
        Real signals of one shape, (channels, samples) or (samples,).

    Returns
    -------
    float
        dB; infinite for a perfect estimate, NaN if either is silent.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    s, e = _pair(reference, estimate)
    energy = _energy(s)
    if energy == 0 or _energy(e) == 0:
        return float("nan")
    target = s * (float(np.sum(e * s)) / energy)
    return _ratio_db(_energy(target), _energy(target - e))


def sdr(reference: RealArray, estimate: RealArray) -> float:
    """SDR of BSS Eval 2 and 3: ``10 log10(|h*s|^2 / |h*s - e|^2)``, ``h`` the best 512-tap filter.

    Vincent, Gribonval and Févotte, "Performance measurement in blind audio source separation", IEEE
    Transactions on Audio, Speech and Language Processing 14(4), 2006, computed with the normal
    equations of Scheibler, "SDR: medium rare with fast computations", ICASSP 2022. Each channel has
    its own filter, of that channel of the reference alone; energies are summed over the channels.

    Parameters
    ----------
    reference, estimate:
        Real signals of one shape, (channels, samples) or (samples,).

    Returns
    -------
    float
        dB, about 120 for a perfect estimate; NaN if either is silent.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    s, e = _pair(reference, estimate)
    energy = _energy(e)
    if energy == 0 or _energy(s) == 0:
        return float("nan")
    explained = sum(_explained_energy(*channels) for channels in zip(s, e, strict=True))
    return _ratio_db(explained, energy - explained)


def _explained_energy(reference: RealArray, estimate: RealArray) -> float:
    """Energy of the projection of a channel onto the delayed copies of its reference."""
    gain = np.sqrt(_energy(reference))
    if gain == 0:
        return 0.0
    # Long enough that the correlations at 0 to FILTER_TAPS - 1 samples do not wrap around.
    n_fft = 1 << (len(reference) + FILTER_TAPS - 1).bit_length()
    spectrum = np.fft.rfft(reference / gain, n_fft)
    auto = np.fft.irfft(np.square(np.abs(spectrum)), n_fft)[:FILTER_TAPS]
    cross = np.fft.irfft(np.conj(spectrum) * np.fft.rfft(estimate, n_fft), n_fft)[:FILTER_TAPS]
    lag = np.arange(FILTER_TAPS)
    normal = auto[np.abs(lag[:, None] - lag)]
    normal[lag, lag] += _LOADING
    return float(cross @ np.linalg.solve(normal, cross))


def _pair(reference: RealArray, estimate: RealArray) -> tuple[RealArray, RealArray]:
    """Both signals as float64 of shape (channels, samples)."""
    _check_shapes(reference, estimate)
    return (
        np.atleast_2d(np.asarray(reference, dtype=np.float64)),
        np.atleast_2d(np.asarray(estimate, dtype=np.float64)),
    )


def _check_shapes(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ValueError(f"shapes differ: got {first.shape} and {second.shape}, wanted one shape")


def _energy(signal: RealArray) -> float:
    return float(np.sum(np.square(signal)))


def _ratio_db(wanted: float, unwanted: float) -> float:
    """``10 log10(wanted / unwanted)``, infinite where one is 0; NaN stays NaN."""
    if unwanted <= 0:
        return float("inf")
    return 10 * float(np.log10(wanted / unwanted)) if wanted != 0 else float("-inf")
