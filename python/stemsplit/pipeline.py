"""The way of a song through memory: blocks of mixture in, blocks of stems out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from stemsplit import dsp
from stemsplit.config import StftSettings
from stemsplit.errors import UsageError
from stemsplit.features import network_magnitudes
from stemsplit.infer import Predictor
from stemsplit.masks import full_band_masks
from stemsplit.resample import Resampler

Audio = npt.NDArray[np.float32]

SEGMENT_SECONDS = 10.0


def working_settings(model: StftSettings, sample_rate: int) -> StftSettings:
    """Give the spectrogram's geometry for a song of some sample rate.

    The song is worked on at the model's rate times the smallest power of two that makes it no
    less than the song's, with frames and hop as many times longer: the grid of the lowest bins is
    the model's, and no part of the song's band is lost.
    """
    factor = 1
    while model.sample_rate * factor < sample_rate:
        factor *= 2
    return StftSettings(model.sample_rate * factor, model.n_fft * factor, model.hop_length * factor)


class Stopwatch:
    """Adds up seconds by the name of a stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the body for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started


class StemStream:
    """Separates a song that comes in blocks, holding no more than a segment of it.

    Spectrogram frames are collected until a segment and its context on both sides are there; the
    masks of a segment are then those of the whole song, so segments join without a seam: the
    inverse transform overlaps and adds their frames as if there were one.

    Parameters
    ----------
    predictor:
        The model.
    sample_rate, channels:
        Of the song, in Hz and rows of every block.
    soft:
        Masks by probability instead of 0 and 1.
    segment_seconds:
        Song predicted at a time, s.
    threads:
        Of the transforms; None for all cores.
    stopwatch:
        Counts the stages' time.

    Raises
    ------
    UsageError
        A segment that is not longer than zero.
    """

    def __init__(
        self,
        predictor: Predictor,
        sample_rate: int,
        channels: int,
        *,
        soft: bool,
        segment_seconds: float = SEGMENT_SECONDS,
        threads: int | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        if not segment_seconds > 0:
            raise UsageError("bad segment", got=f"{segment_seconds} s", wanted="more than 0 s")
        card = predictor.card
        settings = working_settings(card.settings, sample_rate)
        n_fft, hop_length, stems = settings.n_fft, settings.hop_length, len(card.sources)
        self._predictor = predictor
        self._settings = settings
        self._soft = soft
        self._watch = stopwatch or Stopwatch()
        self._shape = (stems, channels)
        self._segment = max(1, round(segment_seconds * settings.sample_rate / hop_length))
        self._inward = Resampler(channels, sample_rate, settings.sample_rate)
        self._outward = Resampler(stems * channels, settings.sample_rate, sample_rate)
        self._forward = dsp.StftStream(channels, n_fft, hop_length, threads=threads)
        self._inverse = dsp.IstftStream(channels, n_fft, hop_length, stems=stems, threads=threads)
        self._spec = np.empty((channels, 0, settings.bins), np.complex64)
        self._magnitudes = np.zeros((card.context_frames, card.bins), np.float32)

    def process(self, block: Audio) -> Audio:
        """Take a block, float32 (channels, samples); give (stems, channels, samples) so far done.

        The result may be empty: stems lag behind by a segment.
        """
        with self._watch.stage("resample"):
            block = self._inward.process(block)
        with self._watch.stage("STFT"):
            spec = self._forward.process(block)
        self._append(spec)
        return self._resampled(self._ready(last=False))

    def finish(self) -> Audio:
        """Give what is left; all blocks together have exactly the song's length."""
        with self._watch.stage("resample"):
            tail = self._inward.finish()
        with self._watch.stage("STFT"):
            specs = [self._forward.process(tail), self._forward.finish()]
        for spec in specs:
            self._append(spec)
        context = ((0, self._predictor.card.context_frames), (0, 0))
        self._magnitudes = np.pad(self._magnitudes, context)
        pieces = self._ready(last=True)
        with self._watch.stage("masks + iSTFT"):
            pieces.append(self._inverse.finish(self._inward.samples_out))
        done = self._resampled(pieces)
        with self._watch.stage("resample"):
            rest = self._outward.finish(self._inward.samples_in)
        return np.concatenate((done, rest.reshape(*self._shape, -1)), axis=2)

    def _append(self, spec: npt.NDArray[np.complex64]) -> None:
        if not spec.shape[1]:
            return
        card = self._predictor.card
        with self._watch.stage("STFT"):
            magnitudes = network_magnitudes(
                spec, self._settings.n_fft, card.bins, card.magnitude_power
            )
            self._spec = np.concatenate((self._spec, spec), axis=1)
            self._magnitudes = np.concatenate((self._magnitudes, magnitudes))

    def _ready(self, *, last: bool) -> list[Audio]:
        """Separate every segment whose context is there; at the end, all that is left."""
        context = self._predictor.card.context_frames
        pieces = []
        while self._spec.shape[1] >= self._segment + context or (last and self._spec.shape[1]):
            frames = min(self._segment, self._spec.shape[1])
            with self._watch.stage("network"):
                probabilities = self._predictor.probabilities(
                    self._magnitudes[: frames + 2 * context]
                )
            with self._watch.stage("masks + iSTFT"):
                masks = full_band_masks(probabilities, self._settings.bins, soft=self._soft)
                pieces.append(self._inverse.process(self._spec[:, :frames], masks))
            self._spec = self._spec[:, frames:]
            self._magnitudes = self._magnitudes[frames:]
        return pieces

    def _resampled(self, pieces: list[Audio]) -> Audio:
        """Bring stems to the song's rate: (stems, channels, samples)."""
        stems, channels = self._shape
        with self._watch.stage("resample"):
            done = [self._outward.process(piece.reshape(stems * channels, -1)) for piece in pieces]
        joined = np.concatenate([np.empty((stems * channels, 0), np.float32), *done], axis=1)
        return joined.reshape(stems, channels, -1)
