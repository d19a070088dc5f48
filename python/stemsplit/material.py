"""Training material: decoded stems in a memory-mapped store."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, Track, TrackAudio, read_track
from stemsplit.errors import InputError, output_error
from stemsplit.files import remove_stale

ACTIVE_DB = -60.0
"""Level above which a stretch of a stem counts as sounding, in dB of full scale."""

_FULL_SCALE = 32767
_PARTIAL = ".partial-"
_ACTIVE_BLOCK_SECONDS = 0.5


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

    def is_mono(self, start: int, samples: int) -> bool:
        """Tell whether both channels are equal there, or there is one."""
        block = np.load(self.path, mmap_mode="r")[:, start : start + samples]
        return bool(np.array_equal(block[0], block[min(1, len(block) - 1)]))


@dataclass(frozen=True)
class StoredTrack:
    """A track of the store: its stems by source (absent ones left out), length and rate.

    ``weight`` says how often it is drawn, relative to others of its length; ``coherent`` whether
    it may stand for a whole song, or only lends stems to mixes of songs; ``backing`` whether its
    ``other`` is all of the song but the voice, drums and bass among it; ``highest_hz`` where its
    recordings end, as those made at a lower sample rate do: above it they teach nothing.
    """

    name: str
    samples: int
    sample_rate: int
    stems: dict[str, StoredStem]
    weight: float = 1.0
    coherent: bool = True
    backing: bool = False
    highest_hz: float = math.inf


def store_tracks(
    tracks: Iterable[Track],
    folder: Path,
    on_track: Callable[[Track], None] | None = None,
) -> list[StoredTrack]:
    """Decode tracks into a folder, once: what is there already is used as it is.

    An entry is known by the path, sizes and times of its files. Entries are written to a temporary
    name and renamed; what a killed call left half-written is removed a week later.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    stored = []
    for track in tracks:
        entry = folder / _fingerprint(track)
        kept = _load(entry)
        if kept is None:
            audio = read_track(track)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                remove_stale(folder, _PARTIAL)
                kept = _store(track, audio, entry)
            except OSError as error:
                raise output_error(folder, error, "choose another --store") from error
        stored.append(kept)
        if on_track is not None:
            on_track(track)
    return stored


def _fingerprint(track: Track) -> str:
    files = sorted(track.files.values()) or [track.path]
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([track.name, facts]).encode()).hexdigest()[:24]


def _store(track: Track, audio: TrackAudio, entry: Path) -> StoredTrack:
    with TemporaryDirectory(prefix=_PARTIAL, dir=entry.parent) as partial:
        whole = Path(partial) / entry.name
        _write(track, audio, whole)
        for path in whole.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        try:
            whole.rename(entry)
        except OSError:
            if _load(entry) is None:
                raise  # else another call has made it meanwhile
    stored = _load(entry)
    assert stored is not None
    return stored


def _write(track: Track, audio: TrackAudio, folder: Path) -> None:
    folder.mkdir()
    stems = {}
    for source, stem in zip(SOURCES, audio.stems, strict=True):
        peak = float(np.abs(stem).max())
        if source not in audio.present or peak == 0:
            continue
        np.save(folder / f"{source}.npy", np.rint(stem * (_FULL_SCALE / peak)).astype(np.int16))
        level = active_level_db(stem, audio.sample_rate)
        stems[source] = {"scale": peak / _FULL_SCALE, "level_db": level}
    facts = {
        "name": track.name,
        "samples": audio.stems.shape[2],
        "sample_rate": audio.sample_rate,
        "stems": stems,
    }
    (folder / "track.json").write_text(json.dumps(facts, indent=1))


def _load(entry: Path) -> StoredTrack | None:
    try:
        facts = json.loads((entry / "track.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
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
    active = [power for power in powers if power > 10 ** (ACTIVE_DB / 10)]
    return float(10 * np.log10(np.mean(active))) if active else None


def read_stems(track: StoredTrack) -> npt.NDArray[np.float32]:
    """Read a track's stems whole: float32 (4 stems, 2 channels, samples), as `SOURCES` orders."""
    stems = np.zeros((len(SOURCES), 2, track.samples), np.float32)
    for index, source in enumerate(SOURCES):
        if source in track.stems:
            stems[index] = track.stems[source].read(0, track.samples)[:2]
    return stems


def digest_of(tracks: list[StoredTrack]) -> str:
    """Name songs, and how they are drawn, by a hash: a training goes on with the same alone."""
    stems = [
        [(source, stem.scale, stem.level_db) for source, stem in sorted(track.stems.items())]
        for track in tracks
    ]
    # What is not said of a track is not in the name, so that older trainings go on.
    limits = [(t.highest_hz,) if t.highest_hz < math.inf else () for t in tracks]
    drawn = [
        (t.name, t.samples, t.weight, t.coherent, t.backing, *limit)
        for t, limit in zip(tracks, limits, strict=True)
    ]
    facts = list(zip(drawn, stems, strict=True))
    return hashlib.sha256(json.dumps(facts).encode(errors="surrogatepass")).hexdigest()[:16]


def check_rates(tracks: list[StoredTrack], sample_rate: int) -> None:
    """See that all tracks have a sample rate; raises `InputError`."""
    for track in tracks:
        if track.sample_rate != sample_rate:
            raise InputError(
                f"track {track.name} has another sample rate",
                got=f"{track.sample_rate} Hz",
                wanted=f"{sample_rate} Hz",
                remedy="resample the collection first",
            )
