"""Evaluates a model on a collection of tracks, next to the mixture and to ideal masks.

Rows, for every track and source:

``mixture``
    The mixture itself taken as the estimate; its mask is 1 everywhere.
``ideal_binary_mask``, ``ideal_ratio_mask``
    Masks that know the stems (:mod:`stemsplit.signals`), for each channel and the whole band:
    the ceilings of hard and of soft masks.
``model_hard``, ``model_soft``
    What the model makes of the mixture, by masks cut at 0.5 and by the masks as predicted.

Mask accuracy and MSE are taken on the bins and channels that the model predicts: for a model that
sees a downmix, targets come from the same downmix. Everything happens at the model's sample rate.
What the paper's abstract calls validation by reconstruction consistency is taken to be SI-SDR, SDR
and SNR of the stems that the inverse STFT gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stemsplit import bsseval, dsp, metrics, signals
from stemsplit.config import SOURCES, StftSettings
from stemsplit.dataset import TrackAudio, find_tracks, read_track
from stemsplit.errors import ModelError
from stemsplit.resample import Resampler

if TYPE_CHECKING:
    from stemsplit.separate import Separator

Audio: TypeAlias = npt.NDArray[np.float32]
_Spectrum: TypeAlias = npt.NDArray[np.complex64]
Scores: TypeAlias = dict[str, float]
"""Every metric of one source in one row; NaN where it is undefined."""

METRICS: Mapping[str, str] = {
    "mask_accuracy": "share of time-frequency bins where the mask, cut at 0.5, equals the target",
    "mask_mse": "mean squared difference between the mask before the cut and the target",
    "si_sdr": "dB, scale-invariant SDR over the excerpt and all channels (Le Roux et al. 2019)",
    "sdr": "dB, SDR of BSS Eval 3 over the excerpt: a 512-tap filter of the stem is no distortion",
    "snr": "dB, |s|^2 / |s - e|^2 over the excerpt and all channels; often called SDR, too",
    "museval_sdr": "dB, SDR of BSS Eval 4: |s|^2 / |s - e|^2 per second, median of the track",
}
"""What is measured, in the order of the paper; target: the source is louder than all the rest."""

PAPER_MASK_ACCURACY: Mapping[str, float] = {
    "vocals": 0.772,
    "drums": 0.766,
    "bass": 0.944,
    "other": 0.764,
}
PAPER_RANGES: Mapping[str, tuple[float, float]] = {
    "mask_mse": (0.044, 0.203),
    "si_sdr": (-1.24, 4.10),
    "sdr": (-0.26, 4.59),
    "snr": (1.16, 5.09),
}
"""Lowest and highest of the four sources; the paper's abstract says no more but for bass and vocals
being the highest."""

MEAN = "mean"
"""The name of the mean over the sources, beside the sources."""


@dataclass(frozen=True)
class TrackScores:
    """The scores of one track: ``rows[row][source][metric]``.

    ``separating`` are the seconds that separating took, mean over the model's rows.
    """

    name: str
    seconds: float
    rows: Mapping[str, Mapping[str, Scores]]
    separating: float = math.nan


@dataclass(frozen=True)
class Figure:
    """A figure for a collection.

    Attributes
    ----------
    value:
        The figure; NaN if nothing counted.
    count:
        How many tracks it is of, or for a mean over the sources how many sources. What is not
        finite does not count.
    """

    value: float
    count: int


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes
    ----------
    model, parameters, settings:
        The model's name, its number of parameters, its spectrogram.
    mask_bins, mask_downmix:
        The lowest bins that the mask metrics cover, and whether one mask serves all channels.
    tracks:
        The scores of each track.
    device:
        Where the model ran.
    """

    model: str
    parameters: int
    settings: StftSettings
    mask_bins: int
    mask_downmix: bool
    tracks: tuple[TrackScores, ...]
    device: str = "cpu"

    @property
    def speed(self) -> float:
        """How many times faster than the music the model was, without files and loading."""
        took = sum(track.separating for track in self.tracks)
        return sum(track.seconds for track in self.tracks) / took

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows, in order."""
        return tuple(self.tracks[0].rows)

    def figure(self, row: str, source: str, metric: str) -> Figure:
        """Give the mean over the tracks, for ``museval_sdr`` the median, as the field does.

        For the source ``mean``: the mean of the sources' figures.
        """
        if source == MEAN:
            return _figure((self.figure(row, name, metric).value for name in SOURCES), np.mean)
        middle = np.median if metric == "museval_sdr" else np.mean
        return _figure((track.rows[row][source][metric] for track in self.tracks), middle)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON holds it; what is not finite becomes None."""
        return {
            "versions": _versions(),
            "model": {"name": self.model, "parameters": self.parameters},
            "stft": {
                "sample_rate": self.settings.sample_rate,
                "n_fft": self.settings.n_fft,
                "hop_length": self.settings.hop_length,
            },
            "speed": {"times_real_time": _finite(self.speed), "device": self.device},
            "masks": {"bins": self.mask_bins, "downmix": self.mask_downmix},
            "metrics": dict(METRICS),
            "paper": {
                "mask_accuracy": dict(PAPER_MASK_ACCURACY),
                "ranges": {metric: list(ends) for metric, ends in PAPER_RANGES.items()},
            },
            "figures": {
                row: {
                    source: {
                        metric: _figure_dict(self.figure(row, source, metric)) for metric in METRICS
                    }
                    for source in (*SOURCES, MEAN)
                }
                for row in self.rows
            },
            "tracks": [_track_dict(track) for track in self.tracks],
        }


def evaluate(
    root: Path,
    separator: Separator,
    *,
    soft: bool | None = None,
    museval: bool = True,
    limit: int | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Evaluate a model on the tracks below a folder.

    Parameters
    ----------
    root:
        A collection as :func:`stemsplit.dataset.find_tracks` finds it.
    separator:
        The model.
    soft:
        Add the row ``model_soft``; None adds it where the model's own way is soft.
    museval:
        Compute ``museval_sdr``; NaN otherwise.
    limit:
        Evaluate only the first so many tracks, by name.
    on_progress:
        Called before each track with the tracks done, their total and the track's name, and once
        more, with an empty name, at the end.

    Raises
    ------
    InputError
        The folder is missing or holds no track, or a track cannot be read.
    MissingExtraError
        A package that the tracks or museval need is not installed.
    ModelError
        The model predicts other sources.
    """
    if set(separator.card.sources) != set(SOURCES):
        raise ModelError(
            f"cannot evaluate {separator.name}",
            got=f"a model of {', '.join(separator.card.sources)}",
            wanted=", ".join(SOURCES),
        )
    if museval:
        bsseval.require_museval()
    tracks = find_tracks(root)[:limit]
    report = on_progress or (lambda _done, _total, _name: None)
    soft = separator.card.soft if soft is None else soft
    done: list[TrackScores] = []
    grid = (0, False)
    for number, track in enumerate(tracks):
        report(number, len(tracks), track.name)
        audio = _at_rate(read_track(track), separator.settings.sample_rate)
        scores = _TrackEvaluation(audio, separator)
        rows = scores.rows(soft=soft, museval=museval)
        grid = (scores.target.shape[-1], scores.downmix)
        seconds = audio.mixture.shape[1] / audio.sample_rate
        done.append(TrackScores(track.name, seconds, rows, scores.separating))
    report(len(tracks), len(tracks), "")
    return Evaluation(
        separator.name,
        separator.parameters,
        separator.settings,
        *grid,
        tuple(done),
        str(separator.device),
    )


class _TrackEvaluation:
    """One track, its spectra and its masks.

    Attributes
    ----------
    downmix:
        Whether the model predicts one mask for all channels.
    target:
        Boolean, (stems, channels or 1, frames, bins that the model predicts).
    """

    def __init__(self, audio: TrackAudio, separator: Separator) -> None:
        self.audio = audio
        self.separator = separator
        self._seconds: list[float] = []
        prediction = separator.predict(audio.mixture, audio.sample_rate)
        self.spec = prediction.spec
        order = [separator.card.sources.index(source) for source in SOURCES]
        self.probabilities = prediction.probabilities[order]
        self.downmix = self.probabilities.shape[1] == 1
        bins = self.probabilities.shape[-1]
        stems = np.empty((len(SOURCES), *self.spec.shape[:2], bins), np.complex64)
        for spec, stem in zip(stems, audio.stems, strict=True):
            spec[:] = self._stft(stem)[..., :bins]
        ideal = signals.ideal_binary_masks(stems, self.spec[..., :bins], downmix=self.downmix)
        self.target = ideal > 0
        self.ratio_mask = signals.ideal_ratio_masks(stems, downmix=self.downmix)

    @property
    def separating(self) -> float:
        """Seconds that a separation took, mean."""
        return float(np.mean(self._seconds))

    def rows(self, *, soft: bool, museval: bool) -> dict[str, dict[str, Scores]]:
        """Give the scores by row and source."""
        rows = {}
        for row, mask, estimates in self._estimates(soft=soft):
            sdr = np.full(len(SOURCES), np.nan)
            if museval:
                sdr = bsseval.track_sdr(self.audio.stems, estimates, self.audio.sample_rate)
            rows[row] = {
                source: self._scores(index, mask[index], estimates[index], float(sdr[index]))
                for index, source in enumerate(SOURCES)
            }
        return rows

    def _estimates(self, *, soft: bool) -> Iterator[tuple[str, npt.NDArray[np.float32], Audio]]:
        """Yield each row's name, mask and estimates."""
        mixture = np.broadcast_to(self.audio.mixture, self.audio.stems.shape)
        yield "mixture", np.ones(self.target.shape, np.float32), mixture
        yield (
            "ideal_binary_mask",
            self.target.astype(np.float32),
            self._oracle(signals.ideal_binary_masks),
        )
        yield (
            "ideal_ratio_mask",
            self.ratio_mask,
            self._oracle(lambda stems, _mixture: signals.ideal_ratio_masks(stems)),
        )
        yield "model_hard", self.probabilities, self._separate(soft=False)
        if soft:
            yield "model_soft", self.probabilities, self._separate(soft=True)

    def _oracle(self, ideal_masks: Callable[[_Spectrum, _Spectrum], Audio]) -> Audio:
        """Give the estimates of ideal masks of the whole band, channel by channel."""
        settings = self.separator.settings
        estimates = np.empty_like(self.audio.stems)
        for channel in range(len(self.spec)):
            mixture = self.spec[channel : channel + 1]
            masks = ideal_masks(self._stft(self.audio.stems[:, channel])[:, None], mixture)
            estimates[:, channel] = dsp.apply_masks_istft(
                mixture, masks, settings.n_fft, settings.hop_length, length=estimates.shape[2]
            )[:, 0]
        return estimates

    def _separate(self, *, soft: bool) -> Audio:
        began = time.perf_counter()
        separation = self.separator.separate(self.audio.mixture, self.audio.sample_rate, soft=soft)
        self._seconds.append(time.perf_counter() - began)
        return np.stack([separation.stems[source] for source in SOURCES])

    def _scores(self, index: int, mask: Audio, estimate: Audio, museval_sdr: float) -> Scores:
        if SOURCES[index] not in self.audio.present:
            return dict.fromkeys(METRICS, math.nan)
        reference, target = self.audio.stems[index], self.target[index]
        return {
            "mask_accuracy": metrics.mask_accuracy(mask, target),
            "mask_mse": metrics.mask_mse(mask, target),
            "si_sdr": metrics.si_sdr(reference, estimate),
            "sdr": metrics.sdr(reference, estimate),
            "snr": metrics.snr(reference, estimate),
            "museval_sdr": museval_sdr,
        }

    def _stft(self, signal: Audio) -> _Spectrum:
        settings = self.separator.settings
        return dsp.stft(np.ascontiguousarray(signal), settings.n_fft, settings.hop_length)


def _at_rate(audio: TrackAudio, sample_rate: int) -> TrackAudio:
    def convert(signal: Audio) -> Audio:
        resampler = Resampler(len(signal), audio.sample_rate, sample_rate)
        return np.concatenate([resampler.process(signal), resampler.finish()], axis=1)

    stems = audio.stems
    if audio.sample_rate != sample_rate:
        stems = np.stack([convert(stem) for stem in stems])
    return TrackAudio(convert(audio.mixture), stems, sample_rate, audio.present)


def _figure(values: Iterable[float], middle: Callable[[list[float]], Any]) -> Figure:
    finite = [value for value in values if math.isfinite(value)]
    return Figure(float(middle(finite)) if finite else math.nan, len(finite))


def _figure_dict(figure: Figure) -> dict[str, float | int | None]:
    return {"value": _finite(figure.value), "count": figure.count}


def _track_dict(track: TrackScores) -> dict[str, Any]:
    rows = {
        row: {
            source: {metric: _finite(value) for metric, value in scores.items()}
            for source, scores in sources.items()
        }
        for row, sources in track.rows.items()
    }
    return {"name": track.name, "seconds": track.seconds, "rows": rows}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("stemsplit", "numpy", "torch", "museval"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
