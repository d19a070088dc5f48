"""Drawn examples made by torch on a device that holds all stems: for a training on CUDA.

They sound as those that `stemsplit.parts` makes, by other means: one transform of a whole stretch
changes its tone and, where speeds differ, oversamples it, and a cubic through four of its samples
gives it its speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stemsplit.config import SOURCES
from stemsplit.effects import OCTAVES_HZ, panned
from stemsplit.material import StoredStem, StoredTrack
from stemsplit.parts import HALF_POWER, Part
from stemsplit.remix import Drawn, RemixSettings

# What a row holds: the stem's place in the batch, where its samples begin and how many there are,
# speed, two gains, whether the channels change places, and the tone.
_SLOT, _BEGIN, _THERE, _SPEED, _LEFT, _RIGHT, _SWAP, _TONE = range(8)
_COLUMNS = _TONE + len(OCTAVES_HZ)
_MOST_PARTS = 2  # of a stem
_TOGETHER = 16  # parts; a whole batch's spectra would take gigabytes
_OVERSAMPLED = 4
_RINGING = 4096  # samples of a tone that would come round to the beginning
_PASSED = 0.92  # of the band that is left at a speed; a cosine ends it


class DeviceRemix:
    """Makes batches of drawn examples on a device, to which it copies all stems at the first one.

    Parameters
    ----------
    tracks:
        All that examples are drawn from.
    samples:
        Length of an example.
    settings:
        How they are drawn.
    device:
        Where.

    Raises
    ------
    ValueError
        Settings with rooms, which are not made here.
    """

    def __init__(
        self,
        tracks: Sequence[StoredTrack],
        samples: int,
        settings: RemixSettings,
        device: torch.device,
    ) -> None:
        if settings.reverb:
            raise ValueError("rooms are made on the CPU alone")
        self._samples, self._device = samples, device
        self._places: dict[StoredStem, tuple[int, int]] = {}
        self._held = 0
        for track in tracks:
            for stem in track.stems.values():
                self._places[stem] = self._held, self._held + track.samples
                self._held += track.samples
        self._audio: Tensor | None = None
        self._rate = tracks[0].sample_rate
        self._varied = settings.varispeed > 0
        self._toned = self._varied or settings.equalise_db > 0
        self._read = math.ceil(samples * (1 + settings.varispeed)) + 1
        self._size = _smooth(self._read + _RINGING)

    def rows(self, batch: Sequence[Drawn]) -> Tensor:
        """Write a batch down for `made`: float64 (parts, columns), on the CPU.

        A stem has two parts at most: of two numbers the sum is the same in either order, and so a
        batch is on any device that adds them up in any.
        """
        assert all(len(parts) <= _MOST_PARTS for drawn in batch for parts in drawn.stems)
        rows = [
            self._row(len(SOURCES) * at + index, part, _share(parts) * float(drawn.gain))
            for at, drawn in enumerate(batch)
            for index, parts in enumerate(drawn.stems)
            for part in parts
        ]
        return torch.from_numpy(np.array(rows, np.float64).reshape(-1, _COLUMNS))

    def _row(self, slot: int, part: Part, gain: float) -> list[float]:
        gain *= float(part.gain) * part.stem.scale
        one = np.ones(1, np.float32)
        left, right = (1, 1) if part.place is None else panned(one, part.place)[:, 0].tolist()
        begin, end = self._places[part.stem]
        begin += part.start
        tone = [0.0] * len(OCTAVES_HZ) if part.tone is None else part.tone.tolist()
        return [slot, begin, end - begin, part.speed, gain * left, gain * right, part.swap, *tone]

    @torch.no_grad()
    def made(self, rows: Tensor, examples: int) -> Tensor:
        """Make a batch.

        Parameters
        ----------
        rows:
            Of `rows`, on the device.
        examples:
            How many there are.

        Returns
        -------
        Tensor
            float32 (examples, 4 stems, 2 channels, samples).
        """
        stems = torch.zeros((examples * len(SOURCES), 2, self._samples), device=self._device)
        # Always as many at once, so that transforms are planned once: the last are silent.
        padded = functional.pad(rows, (0, 0, 0, -len(rows) % _TOGETHER))
        for first in range(0, len(padded), _TOGETHER):
            some = padded[first : first + _TOGETHER]
            stems.index_add_(0, some[:, _SLOT].long(), self._parts(some))
        return stems.view(examples, len(SOURCES), 2, self._samples)

    def _parts(self, rows: Tensor) -> Tensor:
        """Make parts: (parts, 2, samples)."""
        audio = self._stretches(rows)
        if self._toned:
            audio = self._with_tone(audio, rows)
        if self._varied:
            audio = self._at_speed(audio, rows[:, _SPEED])
        audio = audio[..., : self._samples] * rows[:, _LEFT : _RIGHT + 1, None].float()
        return torch.where(rows[:, _SWAP, None, None] > 0, audio.flip(1), audio)

    def _stretches(self, rows: Tensor) -> Tensor:
        """Take stretches as they are stored: float32 (parts, 2, read), zeros past a stem's end."""
        if self._audio is None:
            self._audio = self._copied()
        count = torch.arange(self._read, device=self._device)
        # A part has as many samples as its speed makes an example of.
        wanted = torch.ceil(rows[:, _SPEED] * self._samples).clamp_max(self._read)
        there = count < torch.minimum(rows[:, _THERE], wanted)[:, None]
        places = torch.where(there, rows[:, _BEGIN, None].long() + count, 0)
        audio = self._audio[:, places] * there
        return audio.transpose(0, 1).float()

    def _copied(self) -> Tensor:
        """Copy all stems to the device, one after the other: int16 (2, samples)."""
        audio = torch.empty((2, self._held), dtype=torch.int16, device=self._device)
        for stem, (begin, end) in self._places.items():
            audio[:, begin:end] = torch.from_numpy(np.load(stem.path)[:2]).to(self._device)
        return audio

    def _with_tone(self, audio: Tensor, rows: Tensor) -> Tensor:
        """Give parts their tone, oversampled if they have speeds, with what these leave of a band.

        Between 0.92 of it and its end all fades.
        """
        spectra = torch.fft.rfft(audio, self._size)
        bins = torch.arange(spectra.shape[-1], device=self._device) / (self._size / 2)
        speed = rows[:, _SPEED, None].float()
        heard = (bins * speed * (self._rate / 2)).clamp_min(1)
        octaves = torch.log2(heard / OCTAVES_HZ[0]).clamp(0, len(OCTAVES_HZ) - 1)
        below = octaves.long().clamp_max(len(OCTAVES_HZ) - 2)
        tone = rows[:, _TONE:].float()
        low, high = tone.gather(1, below), tone.gather(1, below + 1)
        gains = 10 ** (torch.lerp(low, high, octaves - below) / 20)
        if self._varied:
            beyond = (bins * speed.clamp_min(1) - _PASSED) / (1 - _PASSED)
            gains = gains * (0.5 + 0.5 * torch.cos(math.pi * beyond.clamp(0, 1)))
        times = _OVERSAMPLED if self._varied else 1
        toned: Tensor = torch.fft.irfft(spectra * gains[:, None], times * self._size) * times
        return toned

    def _at_speed(self, audio: Tensor, speed: Tensor) -> Tensor:
        """Read oversampled parts at their speeds: a cubic through the four nearest samples."""
        count = torch.arange(self._samples, device=self._device, dtype=torch.float64)
        places = count * (speed * _OVERSAMPLED)[:, None]
        nearest = places.long()
        t = (places - nearest).float()
        weights = (
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        )
        read = torch.zeros((*audio.shape[:2], self._samples), device=self._device)
        for offset, weight in enumerate(weights, start=-1):
            at = (nearest + offset).clamp_min(0)[:, None].expand(-1, 2, -1)
            read += audio.gather(2, at) * weight[:, None]
        return read


def fits(tracks: Sequence[StoredTrack], device: torch.device) -> bool:
    """Tell whether the stems of tracks take at most a quarter of a GPU's memory.

    The network wants the rest. What is free just now does not count: a training that is resumed is
    to go on as it began.
    """
    if device.type != "cuda":
        return False
    memory: int = torch.cuda.get_device_properties(device).total_memory
    return 4 * _samples_of(tracks) <= memory // 4  # two channels of 16 bits


def _samples_of(tracks: Sequence[StoredTrack]) -> int:
    return sum(track.samples * len(track.stems) for track in tracks)


def _share(parts: tuple[Part, ...]) -> float:
    return HALF_POWER if len(parts) > 1 else 1.0


def _smooth(least: int) -> int:
    """Give the least length from there on that is a power of two times 1, 9/8, 5/4, 3/2 or 7/4."""
    power = 1 << (least - 1).bit_length() - 1
    return min(size for size in (power * n // 8 for n in (8, 9, 10, 12, 14, 16)) if size >= least)
