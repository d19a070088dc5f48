"""Takes recordings for a stem, whole or one channel: instrumentals, the voice of a karaoke pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from stemsplit.audio import SNDFILE_SUFFIXES, AudioReader
from stemsplit.dataset import Audio
from stemsplit.errors import AudioError, InputError, UsageError
from stemsplit.making.collection import SAMPLE_RATE, Job, track_name

_BLOCK_SAMPLES = 1 << 18


def channel_jobs(
    paths: Iterable[Path],
    channel: int,
    source: str,
    seconds: float | None,
    backing: int | None = None,
) -> list[Job]:
    """Give jobs that make tracks of one stem, which is mono, from a channel of recordings.

    Parameters
    ----------
    paths:
        Audio files, or folders of them.
    channel:
        Counted from 1.
    source:
        What it holds, one of `stemsplit.config.SOURCES`.
    seconds:
        Cut recordings of one and a half times this length or more into pieces of it, each a track;
        None: leave them whole. What is left at the end is a piece if it is at least half as long.
    backing:
        The channel of all that accompanies it, which becomes ``other``: for a collection with
        ``backing = true`` in the recipe.

    Raises
    ------
    InputError, AudioError
        A path that is missing; nothing but recordings that hold no audio or have fewer channels.
    UsageError
        A length that cannot be meant.
    """
    if backing == channel:
        raise UsageError("stem and backing are one channel", got=channel, wanted="two")
    channels = {source: channel} | ({"other": backing} if backing is not None else {})
    taken = {stem: slice(number - 1, number) for stem, number in channels.items()}

    def fits(path: Path, there: int) -> None:
        for number in channels.values():
            if not 1 <= number <= there:
                raise AudioError(f"no channel {number} in {path}", wanted=f"1 to {there}")

    return _jobs(paths, taken, seconds, fits)


def whole_jobs(paths: Iterable[Path], source: str, seconds: float | None) -> list[Job]:
    """Give jobs that make tracks of one stem from recordings, mono or stereo, as they are.

    Parameters and errors are those of `channel_jobs`.
    """

    def fits(path: Path, there: int) -> None:
        if there > 2:
            raise AudioError(f"too many channels in {path}", got=there, wanted="1 or 2")

    return _jobs(paths, {source: slice(None)}, seconds, fits)


def _jobs(
    paths: Iterable[Path],
    taken: Mapping[str, slice],
    seconds: float | None,
    fits: Callable[[Path, int], None],
) -> list[Job]:
    if seconds is not None and not seconds > 0:
        raise UsageError("bad seconds", got=seconds, wanted="more than 0")
    jobs = []
    unfit: list[AudioError] = []
    for path, name in find_recordings(paths):
        try:
            length = _seconds_of(path, fits)
        except AudioError as error:  # one of many is no reason to make none
            unfit.append(error)
            jobs.append(_failing(name, error))
            continue
        pieces = 1 if seconds is None else max(1, math.floor(length / seconds + 0.5))
        for piece in range(pieces):
            named = name if pieces == 1 else f"{name}-{piece + 1:03d}"
            limit = None if pieces == 1 else seconds
            jobs.append(_job(named, path, taken, piece, limit))
    if unfit and len(unfit) == len(jobs):
        raise unfit[0]
    return jobs


def _failing(name: str, error: AudioError) -> Job:
    def make(_: np.random.Generator) -> dict[str, Audio]:
        raise error

    return Job(name, make)


def _job(
    name: str, path: Path, taken: Mapping[str, slice], piece: int, seconds: float | None
) -> Job:
    def make(_: np.random.Generator) -> dict[str, Audio]:
        audio = _resampled(path)
        if seconds is not None:
            length = round(seconds * SAMPLE_RATE)
            audio = audio[:, piece * length : (piece + 1) * length]
        return {source: audio[channels] for source, channels in taken.items()}

    status = path.stat()
    return Job(name, make, f"{dict(taken)} {seconds} {status.st_size} {status.st_mtime_ns}")


@lru_cache(maxsize=1)  # the pieces of a recording come one after the other
def _resampled(path: Path) -> Audio:
    return read_channels(path)


def audio_files(folder: Path) -> list[Path]:
    """Give the audio files of a folder and its folders, sorted.

    Raises
    ------
    InputError
        There are none.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SNDFILE_SUFFIXES)
    if not files:
        raise InputError(f"no audio files in {folder}", wanted="recordings, or another folder")
    return files


def read_channels(path: Path) -> npt.NDArray[np.float32]:
    """Read a recording at 44.1 kHz: float32 (channels, samples)."""
    with AudioReader(path) as reader:
        audio = np.concatenate(list(reader.blocks(_BLOCK_SAMPLES)), axis=1)
        if reader.sample_rate == SAMPLE_RATE:
            return audio
        resampled: npt.NDArray[np.float32] = soxr.resample(
            audio.T, reader.sample_rate, SAMPLE_RATE, quality="VHQ"
        ).T
        return resampled


def find_recordings(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Give audio files, those of folders among them, each with the name of its track.

    Raises
    ------
    InputError
        A folder without audio files, or a path that is missing.
    """
    found = []
    for path in paths:
        if path.is_dir():
            files = audio_files(path)
            found += [(p, track_name(str(p.relative_to(path).with_suffix("")))) for p in files]
        elif path.exists():
            found.append((path, track_name(path.stem)))
        else:
            raise InputError(f"no such file: {path}", remedy="check the name and the folder")
    return found


def _seconds_of(path: Path, fits: Callable[[Path, int], None]) -> float:
    with AudioReader(path) as reader:
        fits(path, reader.channels)
        samples = reader.frames
        if samples is None:
            samples = sum(block.shape[1] for block in reader.blocks(_BLOCK_SAMPLES))
        return float(samples / reader.sample_rate)
