"""SDR of BSS Eval version 4 in frames of one second, computed by the package museval."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stemsplit.errors import MissingExtraError

RealArray: TypeAlias = npt.NDArray[np.floating[Any]]

_LEVEL = 1e-3
# Norm that every reference is scaled to. museval adds 2.2e-16 to the diagonal of the matrix it
# solves; against energies of 1e-6 that keeps the matrix regular where channels or stems repeat one
# another. Unscaled it fails there: it looks for an exception that NumPy 2.4 no longer has.


def require_museval() -> None:
    """Fail now rather than after hours of work.

    Raises
    ------
    MissingExtraError
        museval is not installed.
    """
    _museval_metrics()


def frame_sdr(references: RealArray, estimates: RealArray, sample_rate: int) -> RealArray:
    """SDR of all stems in frames of one second, one second apart.

    BSS Eval version 4: Stöter, Liutkus and Ito, "The 2018 Signal Separation Evaluation Campaign",
    LVA/ICA 2018. Its "images" SDR is ``10 log10(|s|^2 / |s - e|^2)`` over a frame's samples
    and channels. The distortion filters only divide the error into interference, artefacts and
    spatial distortion, so museval is given interleaved channels and filters of one tap, one
    set a frame: that changes nothing of the SDR, takes a tenth of the time, and needs memory for
    a frame instead of the whole song.

    Parameters
    ----------
    references, estimates:
        Real, shape (stems, channels, samples).
    sample_rate:
        Hz.

    Returns
    -------
    numpy.ndarray
        dB, float64, shape (stems, frames); an excerpt of less than a second is one frame, a last
        second that is not whole is dropped. NaN marks a frame museval leaves out because one of the
        stems, reference or estimate, is silent in it. Where museval refuses a stem that is silent
        throughout, the other stems are computed without it; a silent reference gives NaN, a
        silent estimate the 0 dB of the definition.

    Raises
    ------
    MissingExtraError
        museval is not installed.
    ValueError
        The shapes differ or have not three axes.
    """
    if references.ndim != 3 or references.shape != estimates.shape:
        raise ValueError(
            f"bad shapes: got {references.shape} and {estimates.shape}, "
            "wanted the same (stems, channels, samples)"
        )
    metrics = _museval_metrics()
    channels, samples = references.shape[1:]
    s, e = _interleaved(references), _interleaved(estimates)
    heard = np.any(s, axis=(1, 2))
    estimated = np.any(e, axis=(1, 2))
    both = heard & estimated
    result = np.full((len(s), max(1, samples // sample_rate)), np.nan)
    result[heard & ~estimated] = 0.0
    if both.any():
        scale = _LEVEL / np.linalg.norm(s[both], axis=(1, 2), keepdims=True)
        # A stem without interference or artefacts has an infinite ratio of those.
        with np.errstate(divide="ignore", invalid="ignore"):
            result[both] = metrics.bss_eval(
                s[both] * scale,
                e[both] * scale,
                window=sample_rate * channels,
                hop=sample_rate * channels,
                filters_len=1,
                framewise_filters=True,
            )[0]
    return result


def track_sdr(references: RealArray, estimates: RealArray, sample_rate: int) -> RealArray:
    """Median of :func:`frame_sdr` over the frames that count: what the field reports of a track.

    Returns
    -------
    numpy.ndarray
        dB, float64, shape (stems,); NaN where no frame counts.
    """
    return np.array(
        [
            np.median(frames[~np.isnan(frames)]) if not np.isnan(frames).all() else np.nan
            for frames in frame_sdr(references, estimates, sample_rate)
        ]
    )


def _interleaved(signals: RealArray) -> RealArray:
    """Stems as float64 of shape (stems, samples x channels, 1)."""
    samples_first = np.swapaxes(np.asarray(signals, dtype=np.float64), 1, 2)
    return samples_first.reshape(len(signals), -1, 1)


@functools.cache
def _museval_metrics() -> ModuleType:
    """Load the module ``museval.metrics`` without the package around it.

    ``import museval`` imports musdb and stempeg, which raise an error on a machine without ffmpeg.
    The metrics need none of them.
    """
    package = importlib.util.find_spec("museval")
    for folder in (package and package.submodule_search_locations) or ():
        spec = importlib.util.spec_from_file_location(
            "stemsplit._museval_metrics", Path(folder) / "metrics.py"
        )
        if spec is not None and spec.loader is not None and Path(folder, "metrics.py").is_file():
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise MissingExtraError("museval is not installed", remedy='pip install "stemsplit[evaluate]"')
