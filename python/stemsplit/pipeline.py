"""The way of a song through memory: blocks of mixture in, blocks of stems out.

Three stages, each of which holds what it needs and no more: `Analyser` (to the model's rate, to a
spectrogram), `Masker` (segments to masks, the network) and `Synthesiser` (masked spectrogram to
stems, back to the song's rate). `separate_blocks` runs the first ahead of the second and the third
behind it, in a thread each; all of them leave Python's lock while they work.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemsplit import dsp
from stemsplit.backlog import Backlog
from stemsplit.config import MAX_N_FFT, SEGMENT_SECONDS, StftSettings
from stemsplit.errors import AudioError, UsageError
from stemsplit.infer import Predictor
from stemsplit.level import AS_IT_IS
from stemsplit.models import ModelCard
from stemsplit.resample import Resampler
from stemsplit.scheme import Scheme

Audio = npt.NDArray[np.float32]

_BLOCKS_AHEAD = 4


def working_settings(model: StftSettings, sample_rate: int) -> StftSettings:
    """Give the spectrogram's geometry for a song of some sample rate.

    The song is worked on at the model's rate times the smallest power of two that makes it no
    less than the song's, with frames and hop as many times longer: the grid of the lowest bins is
    the model's, and no part of the song's band is lost. Only where that takes frames longer than
    there are is it half that rate: a model of 4096 samples a frame knows 705.6 kHz, not 768.
    """
    factor = 1
    while model.sample_rate * factor < sample_rate and 2 * model.n_fft * factor <= MAX_N_FFT:
        factor *= 2
    return StftSettings(model.sample_rate * factor, model.n_fft * factor, model.hop_length * factor)


def segment_frames(card: ModelCard, segment_seconds: float) -> int:
    """Give the frames of a segment: at least one, and a multiple of what the model asks for."""
    frames = max(1, round(segment_seconds * card.sample_rate / card.hop_length))
    return -(-frames // card.frame_multiple) * card.frame_multiple


class Stopwatch:
    """Adds up seconds by the name of a stage; stages may run in several threads at once."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the body for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] += time.perf_counter() - started


@dataclass(frozen=True)
class Analysed:
    """Frames of a song: complex64 (channels, frames, bins), float32 (batch, frames, ...)."""

    spec: npt.NDArray[np.complex64]
    seen: Audio


@dataclass(frozen=True)
class Masked:
    """A segment: complex64 (channels, frames, bins), and what the network answers to it."""

    spec: npt.NDArray[np.complex64]
    answers: Audio


@dataclass(frozen=True)
class Job:
    """A song on its way, as its stages need to know it.

    Attributes
    ----------
    card, scheme:
        The model's.
    sample_rate, channels:
        Of the song, in Hz and rows of every block.
    gains:
        How much louder the network hears it.
    threads:
        Of the transforms; None for all cores.
    watch:
        Counts the stages' time.
    """

    card: ModelCard
    scheme: Scheme
    sample_rate: int
    channels: int
    gains: Sequence[float]
    threads: int | None
    watch: Stopwatch

    @property
    def settings(self) -> StftSettings:
        """Geometry of the spectrogram the song is worked on with."""
        return working_settings(self.card.settings, self.sample_rate)


class Analyser:
    """Brings a song to the model's rate and grid."""

    def __init__(self, job: Job) -> None:
        settings = job.settings
        self._job = job
        self._n_fft = settings.n_fft
        self.resampler = Resampler(job.channels, job.sample_rate, settings.sample_rate)
        self._stft = dsp.StftStream(
            job.channels, settings.n_fft, settings.hop_length, threads=job.threads
        )

    def process(self, block: Audio) -> Analysed:
        """Take a block, float32 (channels, samples), and give the frames it completes."""
        with self._job.watch.stage("resample"):
            block = self.resampler.process(block)
        with self._job.watch.stage("STFT"):
            return self._seen(self._stft.process(block))

    def finish(self) -> Analysed:
        """Give the song's last frames."""
        with self._job.watch.stage("resample"):
            tail = self.resampler.finish()
        with self._job.watch.stage("STFT"):
            last = self._stft.process(tail), self._stft.finish()
            return self._seen(np.concatenate(last, axis=1))

    def _seen(self, spec: npt.NDArray[np.complex64]) -> Analysed:
        return Analysed(spec, self._job.scheme.see(spec, self._n_fft, self._job.gains))


class Masker:
    """Collects frames into segments and predicts their masks.

    Answers come later than frames, by the context, so masks are those of the whole song, and
    segments join without a seam.

    Parameters
    ----------
    predictor:
        The model.
    frames:
        Predicted at a time: a multiple of what the model asks for.
    watch:
        Counts the stage's time.
    """

    def __init__(self, predictor: Predictor, frames: int, watch: Stopwatch) -> None:
        self._answers = predictor.begin(frames)
        self._segment = frames
        self._watch = watch
        self._specs, self._seen = Backlog(), Backlog()

    def process(self, frames: Analysed) -> Iterator[Masked]:
        """Take frames and give the segments they complete."""
        self._specs.add(frames.spec)
        self._seen.add(frames.seen)
        while self._seen.count >= self._segment:
            yield from self._masked(self._answers.process, self._seen.take(self._segment))

    def finish(self) -> Iterator[Masked]:
        """Give what is left."""
        yield from self._masked(self._answers.finish, self._seen.take(self._seen.count))

    def _masked(self, ask: Callable[[Audio], list[Audio]], seen: Audio) -> Iterator[Masked]:
        with self._watch.stage("network"):
            pieces = ask(seen)
        for answers in pieces:
            yield Masked(self._specs.take(answers.shape[-2]), answers)


class Synthesiser:
    """Applies masks, inverts the stems' spectrograms and brings them to the song's rate.

    ``soft``: masks by probability instead of 0 and 1.
    """

    def __init__(self, job: Job, *, soft: bool) -> None:
        settings, stems = job.settings, len(job.card.sources)
        self._job = job
        self._shape = (stems, job.channels)
        self._bins = settings.bins
        self._soft = soft
        self._resampler = Resampler(stems * job.channels, settings.sample_rate, job.sample_rate)
        self._istft = dsp.IstftStream(
            job.channels,
            settings.n_fft,
            settings.hop_length,
            stems=stems,
            spread=job.scheme.spread(settings.bins, soft=soft),
            threads=job.threads,
        )

    def process(self, segment: Masked) -> Audio:
        """Take a segment; give float32 (stems, channels, samples)."""
        with self._job.watch.stage("masks + iSTFT"):
            scheme, channels = self._job.scheme, self._job.channels
            masks = scheme.masks(segment.answers, channels, self._bins, soft=self._soft)
            stems = self._istft.process(segment.spec, masks)
        return self._resampled(stems)

    def finish(self, working_samples: int, samples: int) -> Audio:
        """Give the last samples: the song has so many at the working rate and at its own."""
        with self._job.watch.stage("masks + iSTFT"):
            stems = self._istft.finish(working_samples)
        done = self._resampled(stems)
        with self._job.watch.stage("resample"):
            rest = self._resampler.finish(samples)
        return np.concatenate((done, rest.reshape(*self._shape, -1)), axis=2)

    def _resampled(self, stems: Audio) -> Audio:
        with self._job.watch.stage("resample"):
            rows = stems.reshape(self._shape[0] * self._shape[1], -1)
            return self._resampler.process(rows).reshape(*self._shape, -1)


def separate_blocks(
    blocks: Iterator[Audio],
    predictor: Predictor,
    sample_rate: int,
    channels: int,
    *,
    soft: bool,
    segment_seconds: float = SEGMENT_SECONDS,
    gains: Sequence[float] = AS_IT_IS,
    threads: int | None = None,
    watch: Stopwatch | None = None,
) -> Generator[Audio, None, None]:
    """Separate a song that comes in blocks, holding no more than a few segments of it.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. They are taken in a thread of their own.
    predictor:
        The model.
    sample_rate, channels:
        Of the song, in Hz and rows of every block.
    soft:
        Masks by probability instead of 0 and 1.
    segment_seconds:
        Song predicted at a time, s.
    gains:
        How much louder the network hears the song, see `stemsplit.level`.
    threads:
        Of the transforms; None for all cores.
    watch:
        Counts the stages' time.

    Yields
    ------
    numpy.ndarray
        float32 (stems, channels, samples), together exactly as long as the song.

    Raises
    ------
    UsageError
        A segment that is not longer than zero.
    AudioError
        No sample rate, no samples at all, or NaN or infinity among them.
    """
    if not 0 < segment_seconds < math.inf:
        raise UsageError("bad segment", got=f"{segment_seconds} s", wanted="more than 0 s")
    if not isinstance(sample_rate, int | np.integer) or sample_rate < 1:
        raise AudioError("bad sample rate", got=sample_rate, wanted="a whole number of Hz")
    watch = watch or Stopwatch()
    job = Job(predictor.card, predictor.scheme, sample_rate, channels, gains, threads, watch)
    masker = Masker(predictor, segment_frames(job.card, segment_seconds), job.watch)
    song = _Song(blocks)
    stems = _run(iter(song), Analyser(job), masker, Synthesiser(job, soft=soft))
    if job.scheme.adds_up and job.settings.sample_rate != sample_rate:
        song.kept = Backlog()
        return _completed(stems, song.kept, job.card.rest)
    return stems


class _Song:
    """The blocks of a song, kept until they are taken again if there is a backlog for them."""

    def __init__(self, blocks: Iterator[Audio]) -> None:
        self._blocks = blocks
        self.kept: Backlog | None = None

    def __iter__(self) -> Iterator[Audio]:
        samples = 0
        for block in self._blocks:
            if not math.isfinite(float(block.sum())):
                raise AudioError("bad samples", got="NaN or infinity", wanted="finite numbers")
            if self.kept is not None:
                self.kept.add(block)
            samples += block.shape[1]
            yield block
        if not samples:
            raise AudioError("no audio", got="zero samples", wanted="at least one")


def _completed(
    stems: Generator[Audio, None, None], song: Backlog, rest: int
) -> Generator[Audio, None, None]:
    """Give one stem what the others leave of the song.

    Masks that add up share out the whole of the song at the rate it is worked on; what resampling
    takes away, the very top of the band, is none of them and would keep stems from nulling.
    """
    with closing(stems):
        for block in stems:
            if block.shape[2]:
                block[rest] += song.take(block.shape[2]) - block.sum(axis=0)
            yield block


def _run(
    blocks: Iterator[Audio],
    analyser: Analyser,
    masker: Masker,
    synthesiser: Synthesiser,
) -> Generator[Audio, None, None]:
    """Analyse ahead of the network and synthesise behind it, a thread each; the network here."""
    with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as behind:
        pending: Future[Audio] | None = None
        for frames in _analysed(blocks, analyser, ahead):
            segments = masker.process(frames) if frames is not None else masker.finish()
            for segment in segments:
                done, pending = pending, behind.submit(synthesiser.process, segment)
                if done is not None:
                    yield done.result()
        if pending is not None:
            yield pending.result()
        yield synthesiser.finish(analyser.resampler.samples_out, analyser.resampler.samples_in)


def _analysed(
    blocks: Iterator[Audio], analyser: Analyser, ahead: ThreadPoolExecutor
) -> Iterator[Analysed | None]:
    """Give the song's frames, a few blocks ahead, and None at the end."""

    def step() -> Analysed | None:
        block = next(blocks, None)
        return None if block is None else analyser.process(block)

    futures = deque(ahead.submit(step) for _ in range(_BLOCKS_AHEAD))
    while (done := futures.popleft().result()) is not None:
        futures.append(ahead.submit(step))
        yield done
    yield analyser.finish()
    yield None
