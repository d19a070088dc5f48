"""What the compact network is taught: batches of remixes in bands, its loss, its validation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from stemsplit import dsp
from stemsplit.bands import Bands, band_features, power_scale
from stemsplit.config import SOURCES, StftSettings
from stemsplit.device_remix import DeviceRemix
from stemsplit.device_spectra import DeviceSpectra
from stemsplit.errors import InputError, UsageError
from stemsplit.estimate_error import EstimateError
from stemsplit.level import hearing_gains
from stemsplit.material import StoredTrack, read_stems
from stemsplit.remix import Drawn, Example, Remixer, RemixSettings
from stemsplit.resolutions import Resolutions
from stemsplit.teacher import Teacher
from stemsplit.training import Validation
from stemsplit.unet import BandUNet
from stemsplit.unet_size import UNetSize

_FLOOR = 1e-2  # of the mixture's energy: how quiet an error has to be to count no more
_LOUDNESS = 1e-7  # of a full-scale sine's magnitude, squared: below it a band is silence
# How much a stem's error counts. Masks sum to 1: the error of the vocals is that of the rest too.
_UNSPLIT = tuple(2.0 if source == "vocals" else 0.0 for source in SOURCES)


@dataclass(frozen=True)
class BandSettings:
    """What the compact network's training depends on beside `stemsplit.training`.

    Attributes
    ----------
    batch_size, frames:
        Excerpts in a step, and frames of an excerpt.
    size:
        The network's.
    single_bands:
        So many of its lowest bands are single bins.
    ratio_weight:
        Share of the logarithmic error in the loss, see `BandTask.loss`.
    waveform:
        Whether the logarithmic error is that of the estimates' samples instead of the bands.
    resolutions:
        Frame lengths, in samples, of the spectra whose error's magnitude counts instead of that in
        bands; only with `waveform`.
    compressed_weight:
        Share in the loss of how far the estimates' compressed magnitudes are off.
    stem_weights:
        How much the error of each stem counts, in the order of `SOURCES`.
    teacher_share:
        Where there is a teacher, its share in what is learnt: the rest is the true stems'.
    sample_rate, n_fft, hop_length:
        The spectrogram.
    magnitude_power:
        Exponent the input magnitudes are compressed with, and those of the loss.
    """

    batch_size: int = 8
    frames: int = 128
    size: UNetSize = field(default_factory=UNetSize)
    single_bands: int = 204
    ratio_weight: float = 0.1
    waveform: bool = False
    resolutions: tuple[int, ...] = ()
    compressed_weight: float = 0.0
    stem_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    teacher_share: float = 0.5
    sample_rate: int = 44100
    n_fft: int = 4096
    hop_length: int = 1024
    magnitude_power: float = 0.5

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError("bad batch_size", got=self.batch_size, wanted="at least 1")
        stride = self.size.time_stride
        if self.frames < stride or self.frames % stride:
            raise UsageError("bad frames", got=self.frames, wanted=f"a multiple of {stride}")
        single, bands, bins = self.single_bands, self.size.bands, self.stft.bins
        if not 0 < single <= bands <= bins or single == bands < bins:
            raise UsageError(
                "bad bands",
                got=f"{single} single ones of {bands}",
                wanted=f"1 to all but one, of at most {bins}, or all of so many",
            )
        for name in ("ratio_weight", "compressed_weight", "magnitude_power"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="a number from 0")
        bounded = all(0 <= weight < math.inf for weight in self.stem_weights)
        if len(self.stem_weights) != len(SOURCES) or not bounded:
            raise UsageError(
                "bad stem_weights", got=list(self.stem_weights), wanted="four numbers, 0 or more"
            )
        if self.resolutions and not self.waveform:
            raise UsageError("resolutions without waveform", remedy="set waveform = true")
        longest = 2 * (self.frames - 1) * self.hop_length  # half of such a frame is silence
        if not all(4 <= size <= longest for size in self.resolutions):
            raise UsageError(
                "bad resolutions", got=list(self.resolutions), wanted=f"4 to {longest} samples each"
            )
        if not 0 <= self.teacher_share <= 1:
            raise UsageError("bad teacher_share", got=self.teacher_share, wanted="0 to 1")

    @property
    def stft(self) -> StftSettings:
        """The spectrogram's geometry."""
        return StftSettings(self.sample_rate, self.n_fft, self.hop_length)

    @property
    def bands(self) -> Bands:
        """The bands of its bins."""
        return Bands(self.stft.bins, self.size.bands, self.single_bands)

    def card_facts(self) -> dict[str, Any]:
        """Give what the model's card says of its input and output."""
        return {
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "bins": self.stft.bins,
            "bands": self.size.bands,
            "single_bands": self.single_bands,
            "context_frames": self.size.context_frames,
            "frame_multiple": self.size.time_stride,
            "magnitude_power": self.magnitude_power,
            "soft": True,
        }


class BandTask:
    """The compact network's part in a training.

    A batch is: features (batch, frames, 4, bands), and by band the energies of the stems, their
    products with the mixture (both batch, stems, 2 channels, frames, bands), and the mixture's
    energies (batch, 2, frames, bands); then how much the error of each stem counts (batch,
    stems): that of the vocals alone where nobody split the rest. All are float32. With the mask
    constant in a band, the error's energy there is ``|S|² - 2 m Re(S X*) + m² |X|²``, so a step
    needs no bins. With ``waveform`` there follow, all the same, the mixture's spectra, complex64
    (batch, 2, frames, bins), and the stems, float32 (batch, stems, 2, samples). Where recordings
    of the training end below the others' band, how much of each band counts (batch, bands) comes
    before these: 1, or 0 above where a part of the example ends.

    Where ``measured_on`` names a device, a batch has no more than how much each error counts and
    the stems; the step computes the rest there. Where ``drawn_on`` does, in place of the stems it
    has what they are drawn as, and the step makes them there too, of tracks that the device holds.
    That is for a GPU, beside which a CPU is slow.
    """

    architecture = "band-unet"

    def __init__(
        self,
        settings: BandSettings,
        tracks: list[StoredTrack],
        valid: list[StoredTrack],
        *,
        seed: int,
        remix: RemixSettings | None = None,
        teacher: Teacher | None = None,
        measured_on: torch.device | None = None,
        drawn_on: torch.device | None = None,
    ) -> None:
        self.settings = settings
        self._teacher = teacher
        self._bands = settings.bands
        self._estimates = EstimateError(self._bands, settings.stft)
        self._resolutions = Resolutions(settings.resolutions)
        self._on_device = (
            DeviceSpectra(self._bands, settings.stft, measured_on) if measured_on else None
        )
        if drawn_on and not measured_on:
            raise ValueError("what is drawn on a device is measured there, too")
        if valid and not any(track.stems for track in valid):
            raise InputError("all validation songs are silent", wanted="one that sounds at least")
        self._valid = valid
        self._seed = seed
        remix, samples = remix or RemixSettings(), (settings.frames - 1) * settings.hop_length
        self._remixer = Remixer(tracks, samples, remix)
        self._limited = any(track.highest_hz < math.inf for track in tracks)
        self._made_there = DeviceRemix(tracks, samples, remix, drawn_on) if drawn_on else None

    def first_network(self) -> nn.Module:
        """Draw the network a training begins with."""
        torch.manual_seed(self._seed)
        return BandUNet(len(SOURCES), self.settings.size)

    def at_step(self, network: nn.Module, _step: int) -> nn.Module:
        """Give the network to train from a step on: always the same here."""
        return network

    def batch(self, step: int, part: int = 0) -> tuple[Tensor, ...]:
        """Make a part of a step's batch; it depends on the seed, the step and the part alone."""
        size = self.settings.batch_size
        seeds = [(self._seed, step, part * size + index) for index in range(size)]
        if self._made_there:
            drawn = [self._remixer.drawn(seed) for seed in seeds]
            return *_stacked(map(self._counted, drawn)), self._made_there.rows(drawn)
        take = self._untaught if self._on_device else self._taught
        return _stacked(take(self._remixer.example(seed)) for seed in seeds)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Give the loss of a batch.

        Two parts: the error's magnitude summed over bands and frames, as a share of the mixture's,
        or the mean of such shares in the bins of `BandSettings.resolutions`; and the logarithm of
        the error's energy over the stem's, each with a floor of one hundredth of the mixture's,
        mean over stems: what the signal-to-distortion ratio is made of, which lets quiet stems
        count as much as loud ones. `BandSettings.compressed_weight` adds one that looks at
        magnitudes alone, whatever their phase: how far each band's is from the stem's, compressed,
        so that what is quiet counts too. With a teacher the stems are those that lie between the
        true ones and its estimates. An example of which a recording ends early is compared in the
        bands below alone, with or without ``waveform``.
        """
        features, energy, product, mixture, counts, *samples = self._measured(batch)
        heard = samples.pop(0) if self._limited else None
        if heard is not None:
            energy, product = (x * heard[:, None, None, None] for x in (energy, product))
            mixture = mixture * heard[:, None, None]
        if self._teacher:
            taught = self._teacher.masks(features)
            energy, product = self._between(taught, energy, product, mixture)
            energy = energy.clamp_min(0)  # a sum with both signs, which rounds
            samples = self._between_samples(taught, *samples) if samples else []
        masks = cast(BandUNet, network).masks(features)
        error = (energy + masks * (masks * mixture[:, None] - 2 * product)).clamp_min(0)
        share, ratio = _share_of_bands(error, mixture), _ratio_of_bands(error, energy, mixture)
        if samples:
            spectra, stems = samples
            moves = (self._on_device or self._estimates).moves(masks, spectra, stems)
            whole = None if heard is None else heard.amin(1, keepdim=True) > 0
            ratio = _of_whole(whole, _ratio_of_samples(moves, stems), ratio)
            if self.settings.resolutions:
                share = _of_whole(whole, self._share_of_spectra(moves, stems), share)
        loss = (share * counts).sum(1).mean()
        loss = loss + self.settings.ratio_weight * (ratio.log() * counts).mean()
        if self.settings.compressed_weight:
            off = _off_compressed(masks, energy, mixture, self.settings.magnitude_power)
            loss = loss + self.settings.compressed_weight * (off * counts).sum(1).mean()
        return loss

    def _measured(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Give a batch with all that the loss compares, as the class says."""
        if self._on_device is None:
            return batch
        *counted, stems = batch
        if self._made_there:
            stems = self._made_there.made(stems, len(counted[0]))
        *parts, spectra = self._on_device.measured(stems, self.settings.magnitude_power)
        return (*parts, *counted, *((spectra, stems) if self.settings.waveform else ()))

    def _between(
        self, heard: Tensor, energy: Tensor, product: Tensor, mixture: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give energies and products of the stems between the true ones and those of masks."""
        share = self.settings.teacher_share
        cut = heard * mixture[:, None]
        crossed = (1 - share) ** 2 * energy + 2 * share * (1 - share) * heard * product
        return crossed + share**2 * heard * cut, product + share * (cut - product)

    def _between_samples(self, heard: Tensor, spectra: Tensor, stems: Tensor) -> list[Tensor]:
        """Give the spectra, and the stems between the true ones and those of masks."""
        with torch.no_grad():
            move = (self._on_device or self._estimates).moves(heard, spectra, stems)
        return [spectra, stems + self.settings.teacher_share * move]

    def _share_of_spectra(self, moves: Tensor, stems: Tensor) -> Tensor:
        """Give the error's magnitude over the mixture's, mean over resolutions: (batch, stems)."""
        mixture = self._resolutions.magnitudes(stems.sum(1, keepdim=True))
        return (self._resolutions.magnitudes(moves) / mixture).mean(0)

    def validate(self, network: nn.Module) -> Validation | None:
        """Measure the signal-to-distortion ratio of each stem, mean over the songs, in dB.

        That of the estimates' samples by soft masks, as `stemsplit evaluate` gives it, but for the
        mixture, which is the stems' sum here, and the training's precision; the network sees a song
        whole. The loss is the negative mean over the stems.
        """
        if not self._valid:
            return None
        ratios: dict[str, list[float]] = {source: [] for source in SOURCES}
        for track in self._valid:
            stems = read_stems(track)
            wanted = np.square(stems, dtype=np.float64).sum(axis=(1, 2))
            got = np.square(self._errors(network, stems), dtype=np.float64).sum(axis=(1, 2))
            for source, one, other in zip(SOURCES, wanted.tolist(), got.tolist(), strict=True):
                if one > 0:
                    ratios[source].append(10 * float(np.log10(one / max(other, 1e-12))))
        means = {source: float(np.mean(values)) for source, values in ratios.items() if values}
        return Validation(-float(np.mean(list(means.values()))), {"sdr": means})

    def _errors(self, network: nn.Module, stems: np.ndarray) -> np.ndarray:
        """Give estimates less stems of a song: float32 (stems, 2, samples)."""
        settings = self.settings
        mixture = dsp.stft(stems.sum(axis=0), settings.n_fft, settings.hop_length)
        features = self._seen(mixture)
        (gain,) = hearing_gains([stems.sum(axis=0)])  # as a song is heard
        features *= np.float32(gain**settings.magnitude_power)
        frames = len(features)
        features = np.pad(features, ((0, -frames % settings.size.time_stride), (0, 0), (0, 0)))
        device = next(network.parameters()).device
        with torch.inference_mode():
            masks = cast(BandUNet, network).masks(torch.from_numpy(features[None]).to(device))
        return self._estimates.errors(masks[0, :, :, :frames].cpu().numpy(), mixture, stems)

    def card_facts(self) -> dict[str, Any]:
        """Give what the model's card says of its input and output."""
        return self.settings.card_facts()

    def finished(self, network: nn.Module) -> nn.Module:
        """Give the network to export."""
        return network

    def _taught(self, example: Example) -> tuple[np.ndarray, ...]:
        """Measure an example's stems by band; see the class for what of them a batch has."""
        settings = self.settings
        *counted, stems = self._untaught(example)
        spec = np.stack([dsp.stft(s, settings.n_fft, settings.hop_length) for s in stems])
        mixture = spec.sum(axis=0)
        scale = power_scale(settings.n_fft)
        energy = self._bands.sums(spec, spec) * scale
        product = np.stack([self._bands.sums(stem, mixture) for stem in spec]) * scale
        total = self._bands.sums(mixture, mixture) * scale
        taught = (self._seen(mixture), energy, product, total, *counted)
        return (*taught, mixture, stems) if settings.waveform else taught

    def _untaught(self, example: Example) -> tuple[np.ndarray, ...]:
        """Give what of an example counts, and the stems."""
        return *self._counted(example), example.stems

    def _counted(self, example: Example | Drawn) -> tuple[np.ndarray, ...]:
        """Give how much the error of each stem counts, and where it may matter, of each band."""
        counts = self.settings.stem_weights if example.split else _UNSPLIT
        if not self._limited:
            return (np.array(counts, np.float32),)
        ends_hz = self._bands.edges[1:] * (self.settings.sample_rate / self.settings.n_fft)
        return np.array(counts, np.float32), (ends_hz <= example.highest_hz).astype(np.float32)

    def _seen(self, mixture: np.ndarray) -> np.ndarray:
        """Give the network's input for spectra, complex64 (2, frames, bins)."""
        return band_features(
            mixture, self._bands, self.settings.n_fft, self.settings.magnitude_power
        )


def _stacked(examples: Iterable[tuple[np.ndarray, ...]]) -> tuple[Tensor, ...]:
    """Join examples into a batch."""
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*examples, strict=True))


def _of_whole(whole: Tensor | None, of_samples: Tensor, of_bands: Tensor) -> Tensor:
    """Give the samples' figures of examples with the whole band, and the bands' of others."""
    return of_samples if whole is None else torch.where(whole, of_samples, of_bands)


def _share_of_bands(error: Tensor, mixture: Tensor) -> Tensor:
    """Give the error's magnitude over the mixture's, summed over bands: (batch, stems)."""
    magnitude = error.add(_LOUDNESS).sqrt().sum((2, 3, 4))
    return magnitude / mixture.add(_LOUDNESS).sqrt().sum((1, 2, 3))[:, None]


def _off_compressed(masks: Tensor, energy: Tensor, mixture: Tensor, power: float) -> Tensor:
    """Give how far compressed magnitudes are off, as a share of the mixture's: (batch, stems)."""
    whole, stem, estimate = (
        (part + _LOUDNESS) ** (power / 2)
        for part in (mixture, energy, masks.square() * mixture[:, None])
    )
    return (estimate - stem).abs().sum((2, 3, 4)) / whole.sum((1, 2, 3))[:, None]


def _ratio_of_samples(moves: Tensor, stems: Tensor) -> Tensor:
    """Give the error's energy over the stem's, of the estimates' samples: (batch, stems)."""
    floor = _FLOOR * stems.sum(1).square().sum((1, 2))[:, None] + _LOUDNESS
    return (moves.square().sum((2, 3)) + floor) / (stems.square().sum((2, 3)) + floor)


def _ratio_of_bands(error: Tensor, energy: Tensor, mixture: Tensor) -> Tensor:
    """Give the error's energy over the stem's, summed over bands: (batch, stems)."""
    floor = _FLOOR * mixture.sum((1, 2, 3))[:, None] + _LOUDNESS
    return (error.sum((2, 3, 4)) + floor) / (energy.sum((2, 3, 4)) + floor)
