"""Training material: decoded stems in a memory-mapped store, and seeded random remixes of them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, Track, read_track
from stemsplit.effects import panned, reverberate
from stemsplit.errors import InputError, UsageError

_FULL_SCALE = 32767
_ACTIVE_BLOCK_SECONDS = 0.5
_ACTIVE_DB = -60.0
# Mean levels of MUSDB18's stems, RMS in dB of full scale, in the order of SOURCES.
_TYPICAL_DB = (-22.0, -24.0, -24.0, -23.0)
_EXCERPT_TRIES = 8
_FAST_LENGTH = 1 << 14  # a Fourier transform of a multiple of it has no large prime factor
_OCTAVES_HZ = 62.5 * 2.0 ** np.arange(9)


@dataclass(frozen=True)
class RemixSettings:
    """How examples are drawn.

    Attributes
    ----------
    coherent:
        Share of examples whose stems come from one moment of one song.
    absent:
        How often a source is missing from the other examples.
    level_spread_db, gain_spread_db:
        Standard deviations of each stem's level around the typical one of its source, and of the
        whole example's gain.
    swap, flip:
        How often a stem's channels change places, and its polarity its sign.
    varispeed:
        Largest change of speed, and with it of pitch, as on tape: 0.12 is up to 12 % either way.
        All stems of a coherent example change alike.
    equalise_db:
        Standard deviation of each stem's random tone: gains an octave apart, lines between them.
    reverb:
        How often a stem gets a random room, see `stemsplit.effects.reverberate`.
    pan:
        How often a stem whose channels are equal gets a random place between them.
    """

    coherent: float = 0.5
    absent: float = 0.1
    level_spread_db: float = 4.0
    gain_spread_db: float = 4.0
    swap: float = 0.5
    flip: float = 0.5
    varispeed: float = 0.0
    equalise_db: float = 0.0
    reverb: float = 0.0
    pan: float = 0.0

    def __post_init__(self) -> None:
        for name in ("coherent", "absent", "swap", "flip", "reverb", "pan"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="0 to 1")
        if not 0 <= self.varispeed <= 0.5:
            raise UsageError("bad varispeed", got=self.varispeed, wanted="0 to 0.5")


@dataclass(frozen=True)
class StoredStem:
    """A decoded stem on disk: int16 of its own peak, mapped into memory when read.

    Attributes
    ----------
    path:
        A ``.npy`` file, int16 (channels, samples).
    scale:
        What one integer step is worth.
    level_db:
        RMS of the stem's active half seconds, dB of full scale; None for a silent stem.
    """

    path: Path
    scale: float
    level_db: float | None

    def read(self, start: int, samples: int) -> Audio:
        """Read samples from a start: float32 (channels, samples), zeros past the end."""
        mapped = np.load(self.path, mmap_mode="r")
        block = mapped[:, start : start + samples].astype(np.float32) * np.float32(self.scale)
        return np.pad(block, ((0, 0), (0, samples - block.shape[1])))


@dataclass(frozen=True)
class StoredTrack:
    """A track of the store: its stems by source (absent ones left out), length and rate.

    ``weight`` says how often it is drawn, relative to others of its length; ``coherent`` whether
    it may stand for a whole song, or only lends stems to mixes of songs.
    """

    name: str
    samples: int
    sample_rate: int
    stems: dict[str, StoredStem]
    weight: float = 1.0
    coherent: bool = True


def store_tracks(
    tracks: Iterable[Track],
    folder: Path,
    on_track: Callable[[Track], None] | None = None,
) -> list[StoredTrack]:
    """Decode tracks into a folder, once: what is there already is used as it is.

    An entry is known by the path, sizes and times of its files. Entries are written to a temporary
    name and renamed, so that an interrupted call leaves no half of one behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = []
    for track in tracks:
        entry = folder / _fingerprint(track)
        if not (entry / "track.json").is_file():
            _store(track, entry)
        stored.append(_load(entry))
        if on_track is not None:
            on_track(track)
    return stored


def _fingerprint(track: Track) -> str:
    files = sorted(track.files.values()) or [track.path]
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([track.name, facts]).encode()).hexdigest()[:24]


def _store(track: Track, entry: Path) -> None:
    audio = read_track(track)
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}.tmp")
    temporary.mkdir(exist_ok=True)
    stems = {}
    for source, stem in zip(SOURCES, audio.stems, strict=True):
        peak = float(np.abs(stem).max())
        if source not in audio.present or peak == 0:
            continue
        np.save(temporary / f"{source}.npy", np.rint(stem * (_FULL_SCALE / peak)).astype(np.int16))
        level = active_level_db(stem, audio.sample_rate)
        stems[source] = {"scale": peak / _FULL_SCALE, "level_db": level}
    facts = {
        "name": track.name,
        "samples": audio.stems.shape[2],
        "sample_rate": audio.sample_rate,
        "stems": stems,
    }
    (temporary / "track.json").write_text(json.dumps(facts, indent=1))
    temporary.rename(entry)


def _load(entry: Path) -> StoredTrack:
    facts = json.loads((entry / "track.json").read_text())
    stems = {
        source: StoredStem(entry / f"{source}.npy", stem["scale"], stem["level_db"])
        for source, stem in facts["stems"].items()
    }
    return StoredTrack(facts["name"], facts["samples"], facts["sample_rate"], stems)


def active_level_db(stem: Audio, sample_rate: int) -> float | None:
    """Root mean square level of a stem's active half seconds, in dB of full scale.

    A half second is active above -60 dB; None when none is.
    """
    block = max(1, int(_ACTIVE_BLOCK_SECONDS * sample_rate))
    powers = [
        float(np.mean(np.square(stem[:, start : start + block], dtype=np.float64)))
        for start in range(0, stem.shape[1], block)
    ]
    active = [power for power in powers if power > 10 ** (_ACTIVE_DB / 10)]
    return float(10 * np.log10(np.mean(active))) if active else None


class Remixer:
    """Draws training examples: four stems of one moment of a song, or of four songs.

    Every stem is brought to the typical level of its source, with a spread. Songs are drawn in
    proportion to their weight times the square root of their length, and moments in which the
    stem sounds are preferred. An example depends on its seed alone, never on what was drawn before.

    Parameters
    ----------
    tracks:
        To draw from.
    samples:
        Length of an example.
    settings:
        See `RemixSettings`.

    Raises
    ------
    InputError
        No track has one of the sources, or none is a song and examples of one are wanted.
    """

    def __init__(
        self, tracks: list[StoredTrack], samples: int, settings: RemixSettings | None = None
    ) -> None:
        self.samples = samples
        self.settings = settings or RemixSettings()
        self._by_source = {
            source: [track for track in tracks if source in track.stems] for source in SOURCES
        }
        for source, having in self._by_source.items():
            if not having:
                raise InputError(
                    f"no training track has {source}", wanted="at least one track of every source"
                )
        self._songs = [track for track in tracks if track.coherent]
        if self.settings.coherent and not self._songs:
            raise InputError(
                "no training track may stand for a whole song",
                remedy="set coherent = 0 in [remix], or leave it true for one of [[data]]",
            )

    def example(self, seed: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Draw an example: float32 (4 stems, 2 channels, samples), in the order of `SOURCES`."""
        rng = np.random.default_rng(seed)
        settings = self.settings
        stems = np.zeros((len(SOURCES), 2, self.samples), np.float32)
        song = None
        if rng.random() < settings.coherent:
            track = _draw(self._songs, rng)
            speed = self._speed(rng)
            song = (track, self._moment(track, str(rng.choice(sorted(track.stems))), rng), speed)
        for index, source in enumerate(SOURCES):
            if song is None:
                if rng.random() < settings.absent:
                    continue
                track = _draw(self._by_source[source], rng)
                start, speed = self._moment(track, source, rng), self._speed(rng)
            else:
                track, start, speed = song
            if source in track.stems:
                stems[index] = self._augmented(track, index, start, speed, rng)
        stems *= np.float32(10 ** (rng.normal(0, settings.gain_spread_db) / 20))
        return stems

    def _speed(self, rng: np.random.Generator) -> float:
        """Draw how many of a track's samples make one of the example."""
        limit = self.settings.varispeed
        return float(1 + rng.uniform(-limit, limit)) if limit else 1.0

    def _moment(self, track: StoredTrack, source: str, rng: np.random.Generator) -> int:
        """Draw a start at which the source sounds, or the last try."""
        start = 0
        for _ in range(_EXCERPT_TRIES):
            start = int(rng.integers(0, max(1, track.samples - self.samples + 1)))
            excerpt = track.stems[source].read(start, self.samples)
            if np.mean(np.square(excerpt)) > 10 ** (_ACTIVE_DB / 10):
                break
        return start

    def _augmented(
        self, track: StoredTrack, index: int, start: int, speed: float, rng: np.random.Generator
    ) -> Audio:
        stem = track.stems[SOURCES[index]]
        gain_db = rng.normal(0, self.settings.level_spread_db)
        if stem.level_db is not None:
            gain_db += _TYPICAL_DB[index] - stem.level_db
        swap, flip = rng.random(2) < (self.settings.swap, self.settings.flip)
        audio = stem.read(start, math.ceil(self.samples * speed))
        if speed != 1:
            audio = soxr.resample(audio.T, speed, 1, quality="HQ").T
            audio = np.pad(audio, ((0, 0), (0, max(0, self.samples - audio.shape[1]))))
        audio = np.broadcast_to(audio[:2, : self.samples], (2, self.samples))
        if self.settings.equalise_db:
            audio = _equalised(audio, track.sample_rate, self.settings.equalise_db, rng)
        audio = self._placed(audio, track.sample_rate, rng)
        factor = np.float32((-1 if flip else 1) * 10 ** (gain_db / 20))
        augmented: Audio = (audio[::-1] if swap else audio) * factor
        return augmented

    def _placed(self, audio: Audio, sample_rate: int, rng: np.random.Generator) -> Audio:
        """Pan and reverberate; what is off draws nothing, so that its recipes draw as before."""
        mono = self.settings.pan and np.array_equal(audio[0], audio[1])
        if mono and rng.random() < self.settings.pan:
            audio = panned(audio[0], rng.uniform(-1, 1))
        if self.settings.reverb and rng.random() < self.settings.reverb:
            audio = reverberate(audio, sample_rate, rng)
        return audio


def _equalised(audio: Audio, sample_rate: int, spread_db: float, rng: np.random.Generator) -> Audio:
    """Change the tone by random gains at octaves, linear in dB and octaves between them."""
    gains_db = rng.normal(0, spread_db, len(_OCTAVES_HZ))
    length = -(-audio.shape[1] // _FAST_LENGTH) * _FAST_LENGTH
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    curve_db = np.interp(np.log2(np.maximum(frequencies, 1)), np.log2(_OCTAVES_HZ), gains_db)
    spectrum = np.fft.rfft(audio, length) * (10 ** (curve_db / 20)).astype(np.float32)
    equalised = np.fft.irfft(spectrum, length).astype(np.float32)
    return equalised[:, : audio.shape[1]]


def _draw(tracks: list[StoredTrack], rng: np.random.Generator) -> StoredTrack:
    weights = np.array([track.weight * math.sqrt(track.samples) for track in tracks])
    return tracks[int(rng.choice(len(tracks), p=weights / weights.sum()))]


def read_stems(track: StoredTrack) -> npt.NDArray[np.float32]:
    """Read a track's stems whole: float32 (4 stems, 2 channels, samples), as `SOURCES` orders."""
    stems = np.zeros((len(SOURCES), 2, track.samples), np.float32)
    for index, source in enumerate(SOURCES):
        if source in track.stems:
            stems[index] = track.stems[source].read(0, track.samples)[:2]
    return stems
