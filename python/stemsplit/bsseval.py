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
# Norm that every reference is scaled to in a frame. museval adds 2.2e-16 to the diagonal of the
# matrix it solves; against energies of 1e-6 that keeps the matrix regular where channels or stems
# repeat one another. Unscaled it fails there: it looks for an exception NumPy 2.4 no longer has.


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
    spatial distortion, so museval is given a frame at a time, with interleaved channels, and
    filters of one tap: that changes nothing of the SDR, takes a tenth of the time, and needs
    memory for a frame instead of the whole song.

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
    bss_eval = _museval_metrics().bss_eval
    heard = np.any(references, axis=(1, 2))
    estimated = np.any(estimates, axis=(1, 2))
    both = heard & estimated
    frames = max(1, references.shape[-1] // sample_rate)
    result = np.full((len(references), frames), np.nan)
    result[heard & ~estimated] = 0.0
    for frame in range(frames if both.any() else 0):
        part = slice(frame * sample_rate, (frame + 1) * sample_rate)
        s, e = _interleaved(references[both, :, part]), _interleaved(estimates[both, :, part])
        if not np.all(np.any(s, axis=1) & np.any(e, axis=1)):
            continue
        scale = _LEVEL / np.linalg.norm(s, axis=1, keepdims=True)
        # A stem without interference or artefacts has an infinite ratio of those.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = bss_eval(s * scale, e * scale, window=np.inf, hop=np.inf, filters_len=1)
        result[both, frame] = ratios[0][:, 0]
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
    raise MissingExtraError.of("cannot measure museval's SDR", "museval", "evaluate")
