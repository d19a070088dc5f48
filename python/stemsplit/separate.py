"""Separation in memory: `Separator`, a model loaded once for any number of songs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stemsplit import dsp
from stemsplit.audio import MAX_PEAK
from stemsplit.config import SEGMENT_SECONDS, StftSettings, checked_shifts
from stemsplit.dsp_arguments import thread_count
from stemsplit.errors import AudioError, UsageError
from stemsplit.infer import Predictor, choose_device
from stemsplit.level import AS_IT_IS, hearing_gains
from stemsplit.models import DEFAULT_MODEL, find_card
from stemsplit.pipeline import Stopwatch, separate_blocks, working_settings
from stemsplit.shifts import hearings, mean_of_shifts

Audio = npt.NDArray[np.float32]

_BLOCK_SAMPLES = 1 << 17
_MOST_CHANNELS = 1024  # as libsndfile has it


@dataclass(frozen=True)
class Progress:
    """How much of a song is separated, in samples; the total is None where it is unknown."""

    done_samples: int
    total_samples: int | None


@dataclass(frozen=True)
class Separation:
    """The stems of a mixture.

    Attributes
    ----------
    stems:
        By source, float32 (channels, samples), as long as the mixture.
    mixture:
        float32 (channels, samples).
    sample_rate:
        Hz, of all of them.
    """

    stems: dict[str, Audio]
    mixture: Audio
    sample_rate: int

    @property
    def residual(self) -> Audio:
        """What the stems leave of the mixture: float32 (channels, samples)."""
        total = np.sum(list(self.stems.values()), axis=0, dtype=np.float64)
        return (self.mixture - total).astype(np.float32)


@dataclass(frozen=True)
class Prediction:
    """A mixture's spectrogram and what the model says of it.

    Attributes
    ----------
    spec:
        complex64 (channels, frames, bins).
    probabilities:
        float32 (sources, channels or 1, frames, network bins): masks of the lowest bins, one for
        all channels where the model has no more.
    settings:
        Geometry of the spectrogram, at the rate the song is worked on.
    """

    spec: npt.NDArray[np.complex64]
    probabilities: npt.NDArray[np.float32]
    settings: StftSettings


class Separator:
    """A model, loaded once, that separates any number of songs.

    Parameters
    ----------
    model:
        Name of a model, packaged or added, or path of the ``.json`` card of one that was
        accepted.
    device:
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads:
        CPU threads of network and transforms, for this process; None for all cores.
    precision:
        Of the network's arithmetic: ``auto``, ``float32`` or ``half`` (float16 on CUDA, bfloat16
        on the CPU); see `stemsplit.infer.choose_precision`.
    shifts:
        How often a song is separated, each time heard at another speed; the stems are the mean
        (`stemsplit.shifts`).
    trusted_sha256:
        SHA-256 of the weights, for a model that is neither packaged nor accepted: it is code, and
        the caller vouches for it.
    on_warning:
        Called with a line about what the user should know, such as a segment that is halved
        because CUDA is out of memory; `warnings.warn` by default.

    Raises
    ------
    ModelError, DeviceError
        The model or the device cannot be had.
    UsageError
        Another precision, shifts or threads that make no sense, or a variable of the environment
        that does not.

    Attributes
    ----------
    card:
        What the model's card says.
    device:
        The torch device it runs on.
    threads, shifts:
        As given.
    predictor:
        The loaded network, see `stemsplit.infer.Predictor`.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        *,
        threads: int | None = None,
        precision: str = "auto",
        shifts: int = 1,
        trusted_sha256: str | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.shifts = checked_shifts(shifts)
        _check_transforms(threads)
        card_path = find_card(model)
        self.device = choose_device(device)
        self.threads = threads
        if threads is not None:
            torch.set_num_threads(threads)
        self.predictor = Predictor(
            card_path,
            self.device,
            precision,
            trusted_sha256=trusted_sha256,
            on_warning=on_warning,
        )
        self.card = self.predictor.card

    @property
    def name(self) -> str:
        """The model's name."""
        return self.card.name

    @property
    def precision(self) -> str:
        """Of the network's arithmetic: ``float32``, ``bfloat16`` or ``float16``."""
        return self.predictor.precision

    @property
    def parameters(self) -> int:
        """Trainable parameters of the model, all sources together."""
        return self.card.parameters

    @property
    def settings(self) -> StftSettings:
        """Geometry of the spectrogram the model was trained on."""
        return self.card.settings

    def gains_for(self, blocks: Iterable[Audio]) -> tuple[float, ...]:
        """Give how much louder than it is the model should hear a song.

        See `stemsplit.level.hearing_gains`; the paper's network hears every song as it is, as the
        paper names no levelling.
        """
        return hearing_gains(blocks) if self.card.bands else AS_IT_IS

    def separate(
        self,
        audio: Audio,
        sample_rate: int,
        *,
        soft: bool | None = None,
        segment_seconds: float = SEGMENT_SECONDS,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Separation:
        """Separate a mixture that is in memory.

        Parameters
        ----------
        audio:
            Floats (channels, samples), finite.
        sample_rate:
            Hz.
        soft:
            Masks by probability (True) or 0 and 1 (False); None for the model's own way.
        segment_seconds:
            Song predicted at a time, s. It bounds memory and changes the result by no more than
            the rounding of the network's arithmetic.
        on_progress:
            Called after every segment.

        Raises
        ------
        AudioError
            An array of another shape, without samples, or with NaN or infinity in it.
        UsageError
            A segment that is not longer than zero.
        OutOfMemoryError, DeviceError
            The device has no memory for the shortest segment, or fails.
        """
        mixture = _checked(audio)
        total = mixture.shape[1]
        blocks = (
            mixture[:, start : start + _BLOCK_SAMPLES] for start in range(0, total, _BLOCK_SAMPLES)
        )
        pieces = list(
            self.separate_blocks(
                blocks,
                sample_rate,
                len(mixture),
                soft=soft,
                segment_seconds=segment_seconds,
                gains=self.gains_for([mixture]),
                on_progress=on_progress,
                total_samples=total,
            )
        )
        joined = np.concatenate(pieces, axis=2)
        stems = dict(zip(self.card.sources, joined, strict=True))
        return Separation(stems, mixture, sample_rate)

    def predict(self, audio: Audio, sample_rate: int) -> Prediction:
        """Predict the masks of a mixture without applying them: what `evaluate` looks into.

        Parameters are those of `separate`; the rate must be one that needs no resampling. Masks
        are those of the song as it is, whatever the shifts.
        """
        mixture = _checked(audio)
        settings = working_settings(self.settings, sample_rate)
        if settings.sample_rate != sample_rate:
            raise AudioError(
                "cannot predict at this sample rate",
                got=f"{sample_rate} Hz",
                wanted=f"{self.settings.sample_rate} Hz, or that times a power of two",
            )
        spec = dsp.stft(mixture, settings.n_fft, settings.hop_length, threads=self.threads)
        gains = self.gains_for([mixture])
        seen = self.predictor.scheme.see(spec, settings.n_fft, gains)
        answers = self.predictor.answers(seen)
        return Prediction(spec, self.predictor.scheme.known(answers, len(mixture)), settings)

    def separate_blocks(
        self,
        blocks: Iterator[Audio],
        sample_rate: int,
        channels: int,
        *,
        soft: bool | None = None,
        segment_seconds: float = SEGMENT_SECONDS,
        gains: Sequence[float] = AS_IT_IS,
        on_progress: Callable[[Progress], None] | None = None,
        total_samples: int | None = None,
        watch: Stopwatch | None = None,
    ) -> Generator[Audio, None, None]:
        """Separate a mixture that comes in blocks, in memory that its length does not change.

        Close the generator where it is left early, so that its threads end.

        Parameters
        ----------
        blocks:
            float32 (channels, samples) each; they are taken in a thread of their own.
        sample_rate, soft, segment_seconds, on_progress:
            As for `separate`.
        channels:
            Rows of every block.
        gains:
            How much louder the model hears the mixture, from `gains_for`; the stems are as loud as
            they are.
        total_samples:
            For progress only.
        watch:
            Counts the time of each stage.

        Yields
        ------
        numpy.ndarray
            float32 (stems, channels, samples), in the order of the card's sources; together
            exactly as long as the mixture.
        """

        def separate(song: Iterator[Audio], heard_rate: int) -> Generator[Audio, None, None]:
            return separate_blocks(
                song,
                self.predictor,
                heard_rate,
                channels,
                soft=self.card.soft if soft is None else soft,
                segment_seconds=segment_seconds,
                gains=gains,
                threads=self.threads,
                watch=watch,
            )

        done = 0
        hop = self.card.hop_length / self.card.sample_rate * sample_rate
        heard = hearings(self.shifts, sample_rate, hop)
        mean = mean_of_shifts(blocks, channels, heard, separate)
        with closing(mean):
            for stems in mean:
                yield stems
                done += stems.shape[2]
                if on_progress is not None:
                    on_progress(Progress(done, total_samples))


def _check_transforms(threads: int | None) -> None:
    """See that the transforms can be as the caller and the environment want them."""
    try:
        dsp.kernel_name()
        thread_count(threads)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def _checked(audio: Audio) -> Audio:
    if audio.ndim != 2 or not np.issubdtype(audio.dtype, np.floating):
        raise AudioError(
            "bad audio array",
            got=f"{audio.dtype} of shape {audio.shape}",
            wanted="floats of shape (channels, samples)",
        )
    if len(audio) > _MOST_CHANNELS:
        raise AudioError(
            "too many channels",
            got=f"shape {audio.shape}",
            wanted=f"(channels, samples), at most {_MOST_CHANNELS} channels",
            remedy="give audio.T, if its rows are samples, as soundfile reads them",
        )
    if not audio.size:
        raise AudioError("no audio", got=f"shape {audio.shape}", wanted="at least one sample")
    if not np.isfinite(audio).all():
        raise AudioError("bad samples", got="NaN or infinity", wanted="finite numbers")
    peak = float(np.abs(audio).max())
    if peak > MAX_PEAK:
        raise AudioError(
            "bad samples", got=f"a peak of {peak:.3g}", wanted=f"at most {MAX_PEAK:.0e}"
        )
    return audio.astype(np.float32, copy=False)
