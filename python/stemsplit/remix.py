"""Training material: decoded stems in a memory-mapped store, and seeded random remixes of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, Track, read_track
from stemsplit.errors import InputError

_FULL_SCALE = 32767
_ACTIVE_BLOCK_SECONDS = 0.5
_ACTIVE_DB = -60.0
# Mean levels of MUSDB18's stems, RMS in dB of full scale, in the order of SOURCES.
_TYPICAL_DB = (-22.0, -24.0, -24.0, -23.0)
_LEVEL_SPREAD_DB = 4.0
_COHERENT_SHARE = 0.5
_ABSENT_SHARE = 0.1
_EXCERPT_TRIES = 8


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
    """A track of the store: its stems by source (absent ones left out), length and rate."""

    name: str
    samples: int
    sample_rate: int
    stems: dict[str, StoredStem]


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

    Half of the examples are coherent (all stems from one song at one time), half mix songs, where
    a source is sometimes absent. Every stem is brought to the typical level of its source with a
    normal spread of 4 dB, and channels and polarity are swapped at random; the whole example gets
    a random gain with the same spread. Songs are drawn in proportion to the square root of their
    length, and moments in which the stem sounds are preferred.

    An example depends on its seed alone, never on what was drawn before.
    """

    def __init__(self, tracks: list[StoredTrack], samples: int) -> None:
        self.samples = samples
        self._by_source = {
            source: [track for track in tracks if source in track.stems] for source in SOURCES
        }
        for source, having in self._by_source.items():
            if not having:
                raise InputError(
                    f"no training track has {source}", wanted="at least one track of every source"
                )
        self._tracks = tracks

    def example(self, seed: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Draw an example: float32 (4 stems, 2 channels, samples), in the order of `SOURCES`."""
        rng = np.random.default_rng(seed)
        stems = np.zeros((len(SOURCES), 2, self.samples), np.float32)
        song = None
        if rng.random() < _COHERENT_SHARE:
            track = _draw(self._tracks, rng)
            song = (track, self._moment(track, str(rng.choice(sorted(track.stems))), rng))
        for index, source in enumerate(SOURCES):
            if song is None:
                if rng.random() < _ABSENT_SHARE:
                    continue
                track = _draw(self._by_source[source], rng)
                start = self._moment(track, source, rng)
            else:
                track, start = song
            if source in track.stems:
                stems[index] = self._augmented(track.stems[source], index, start, rng)
        stems *= np.float32(10 ** (rng.normal(0, _LEVEL_SPREAD_DB) / 20))
        return stems

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
        self, stem: StoredStem, index: int, start: int, rng: np.random.Generator
    ) -> Audio:
        gain_db = rng.normal(0, _LEVEL_SPREAD_DB)
        if stem.level_db is not None:
            gain_db += _TYPICAL_DB[index] - stem.level_db
        swap, flip = rng.random(2) < 0.5
        audio = stem.read(start, self.samples)
        audio = np.broadcast_to(audio[:2], (2, self.samples))
        factor = np.float32((-1 if flip else 1) * 10 ** (gain_db / 20))
        augmented: Audio = (audio[::-1] if swap else audio) * factor
        return augmented


def _draw(tracks: list[StoredTrack], rng: np.random.Generator) -> StoredTrack:
    weights = np.sqrt([track.samples for track in tracks])
    return tracks[int(rng.choice(len(tracks), p=weights / weights.sum()))]
