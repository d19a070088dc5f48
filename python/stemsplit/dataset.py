"""Reads multitrack collections in the layouts MUSDB18 comes in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemsplit.audio import AudioReader
from stemsplit.config import SOURCES
from stemsplit.decode import DecodeError
from stemsplit.decode_av import AvDecoder
from stemsplit.errors import AudioError, InputError
from stemsplit.files import is_folder

MIXTURE = "mixture"
SUFFIXES = (".wav", ".flac", ".ogg")
STEM_MP4 = ".stem.mp4"
# The order of streams in a MUSDB18 .stem.mp4 (Rafii et al. 2017, doi 10.5281/zenodo.1117372).
_STEM_MP4_STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
_READ_SAMPLES = 1 << 18

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A song with its stems: a ``.stem.mp4`` file, or a folder with one file per stem.

    ``name`` is the path below the collection's root, without ``.stem.mp4``.
    """

    name: str
    path: Path

    @property
    def files(self) -> dict[str, Path]:
        """Files of a folder track by source name, ``mixture`` among them where it is there."""
        if not self.path.is_dir():
            return {}
        return {
            name: self.path / f"{name}{suffix}"
            for name in (MIXTURE, *SOURCES)
            for suffix in reversed(SUFFIXES)  # of several files of a stem the first kind counts
            if (self.path / f"{name}{suffix}").is_file()
        }


@dataclass(frozen=True)
class TrackAudio:
    """A song's audio.

    Attributes
    ----------
    mixture:
        float32 (channels, samples): the track's own, or the sum of the stems where it has none.
    stems:
        float32 (4, channels, samples), in the order of `SOURCES`; zeros for a stem the track
        does not have.
    sample_rate:
        Hz.
    present:
        The sources the track has a file or stream of.
    """

    mixture: Audio
    stems: npt.NDArray[np.float32]
    sample_rate: int
    present: frozenset[str]


def find_tracks(root: Path) -> list[Track]:
    """Find the tracks below a folder, sorted by name.

    A track is a ``NAME.stem.mp4``, or a folder with at least one of vocals, drums, bass and other
    as WAV, FLAC or OGG. Subfolders such as ``train/`` and ``test/`` are searched,
    hidden ones are not.

    Raises
    ------
    InputError
        The folder is missing or holds no track.
    """
    if not is_folder(root):
        raise InputError(
            f"no folder {root}",
            wanted="a folder of tracks that may be read",
            remedy="check the path for a typo",
        )
    folders = [root, *(path for path in root.rglob("*") if path.is_dir() and _visible(path, root))]
    tracks = [Track(_name(path, root), path) for path in folders]
    tracks = [track for track in tracks if track.files.keys() & set(SOURCES)]
    tracks += [
        Track(_name(path, root).removesuffix(STEM_MP4), path)
        for path in root.rglob(f"*{STEM_MP4}")
        if _visible(path, root) and path.is_file()
    ]
    if not tracks:
        raise InputError(
            f"no tracks in {root}",
            wanted=f"folders with {', '.join(SOURCES)} as WAV, FLAC or OGG, or {STEM_MP4} files",
        )
    return sorted(tracks, key=lambda track: track.name)


def read_track(track: Track) -> TrackAudio:
    """Read a track whole.

    Raises
    ------
    AudioError
        Stems of different lengths or rates, or a file without usable audio.
    MissingExtraError
        A ``.stem.mp4`` and no PyAV.
    """
    read = _read_folder(track) if track.path.is_dir() else _read_stem_mp4(track.path)
    rates = {rate for _, rate in read.values()}
    lengths = {audio.shape[1] for audio, _ in read.values()}
    for what, values in (("sample rates", rates), ("lengths in samples", lengths)):
        if len(values) > 1:
            raise AudioError(
                f"the stems of {track.path} do not fit together",
                got=f"{what} {sorted(values)}",
                wanted="one and the same",
                remedy="export them again from the same session",
            )
    channels = max(audio.shape[0] for audio, _ in read.values())
    samples = lengths.pop()
    stems = np.zeros((len(SOURCES), channels, samples), np.float32)
    for index, source in enumerate(SOURCES):
        if source in read:
            stems[index] = read[source][0]  # a mono stem goes to every channel
    mixture = read[MIXTURE][0] if MIXTURE in read else stems.sum(axis=0)
    return TrackAudio(
        mixture=np.broadcast_to(mixture, (channels, samples)),
        stems=stems,
        sample_rate=rates.pop(),
        present=frozenset(read) - {MIXTURE},
    )


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


def _name(path: Path, root: Path) -> str:
    return root.name if path == root else path.relative_to(root).as_posix()


def _read_folder(track: Track) -> dict[str, tuple[Audio, int]]:
    read = {}
    for name, path in track.files.items():
        with AudioReader(path) as reader:
            blocks = list(reader.blocks(_READ_SAMPLES))
            read[name] = (np.concatenate(blocks, axis=1), reader.sample_rate)
    return read


def _read_stem_mp4(path: Path) -> dict[str, tuple[Audio, int]]:
    try:
        return {name: _read_stream(path, index) for index, name in enumerate(_STEM_MP4_STREAMS)}
    except DecodeError as error:
        raise AudioError(
            f"{path} is not a MUSDB18 stem file",
            got=error,
            wanted=f"{len(_STEM_MP4_STREAMS)} streams of AAC: {', '.join(_STEM_MP4_STREAMS)}",
        ) from error


def _read_stream(path: Path, index: int) -> tuple[Audio, int]:
    decoder = AvDecoder(path, index)
    try:
        blocks = []
        while len(block := decoder.read(_READ_SAMPLES)):
            blocks.append(block.T)
        if not blocks:
            raise DecodeError(f"an empty stream {index}")
        return np.concatenate(blocks, axis=1), decoder.sample_rate
    finally:
        decoder.close()
