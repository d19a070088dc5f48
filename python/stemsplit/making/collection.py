"""A collection being made: a folder per track that is whole or absent, made in any order."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from stemsplit.dataset import Audio
from stemsplit.encode import open_encoder
from stemsplit.errors import InputError, UsageError, output_error
from stemsplit.files import remove_stale
from stemsplit.material import active_level_db
from stemsplit.outputs import Form

SAMPLE_RATE = 44_100
FORMATS = {"flac": "PCM_16", "ogg": "VORBIS"}
# A track's loudest sample, of a stem or of their sum, in full scale: -1 dB.
_PEAK = 10 ** (-1 / 20)
_LONGEST_NAME = 200  # bytes, of the 255 that file systems allow; pieces get numbers
# Hidden, so that nobody takes what is in them for tracks: folders of calls at work, and a file for
# each job that gave nothing to hear, which may take as long to find out as a track to make.
_PARTIAL, _SILENT = ".partial-", ".silent"


@dataclass(frozen=True)
class Job:
    """A track to make: its name, and what gives its stems from a generator of random numbers.

    The stems are float32 (2 channels, samples) at 44.1 kHz, equally long, by source; none at all
    says that there is nothing to hear.
    """

    name: str
    make: Callable[[np.random.Generator], Mapping[str, Audio]]
    basis: str = ""
    """What it depends on that there is nothing to hear: with another it is tried again."""


@dataclass(frozen=True)
class Made:
    """What became of a job: ``made``, ``skipped`` (it was there), ``silent`` or ``failed``."""

    name: str
    status: str
    reason: str = ""


def track_name(*parts: str) -> str:
    """Make a folder's name of the parts of a path."""
    joined = "-".join(part for path in parts for part in re.split(r"[/\\]+", path) if part)
    name = re.sub(r"[^\w.,+() -]", "_", joined).strip(". ") or "_"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{digits}"


def chosen(jobs: Sequence[Job], limit: int | None, seed: int) -> list[Job]:
    """Give all jobs, or so many of them drawn at random, in the order they came in.

    Raises
    ------
    UsageError
        Two jobs of one name.
    """
    names = Counter(job.name for job in jobs)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise UsageError(
            "two inputs would become one track", got=", ".join(twice), remedy="rename one"
        )
    if limit is None or limit >= len(jobs):
        return list(jobs)
    drawn = np.random.default_rng(seed).permutation(len(jobs))[
        :limit
    ]  # a higher limit adds to them
    return [jobs[index] for index in sorted(drawn)]


def make_collection(
    jobs: Sequence[Job],
    folder: Path,
    *,
    audio_format: str = "flac",
    seed: int = 0,
    on_track: Callable[[Made], None] | None = None,
) -> list[Made]:
    """Make tracks in a folder, in the layout `stemsplit.dataset` reads.

    A track depends on the seed and its name alone. One that is there already is left as it is, so
    that an interrupted call goes on when it is made again, and so is what was silent. Calls at the
    same time may share a folder. One gain for each track puts its loudest sample at -1 dB.

    Parameters
    ----------
    jobs:
        What to make.
    folder:
        Where to.
    audio_format:
        ``flac`` (16 bits) or ``ogg``.
    seed:
        Of everything drawn.
    on_track:
        Called after each.

    Returns
    -------
    list of Made
        One for each job; a job whose input cannot be used has failed, and the rest go on.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    StemsplitError
        What is wrong with more than one input, such as a program that is missing.
    """
    results = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder, _PARTIAL)
        with TemporaryDirectory(prefix=_PARTIAL, dir=folder) as partial:
            for job in jobs:
                results.append(_made(job, folder, Path(partial), audio_format, seed))
                if on_track is not None:
                    on_track(results[-1])
    except OSError as error:
        raise output_error(folder, error) from error
    return results


def _made(job: Job, folder: Path, partial: Path, audio_format: str, seed: int) -> Made:
    track, silent = folder / job.name, folder / _SILENT / job.name
    if track.exists():
        return Made(job.name, "skipped")
    if silent.exists() and silent.read_text(encoding="utf-8") == job.basis:
        return Made(job.name, "silent")
    rng = np.random.default_rng((seed, zlib.crc32(job.name.encode())))
    try:
        stems = job.make(rng)
    except InputError as error:
        return Made(job.name, "failed", str(error))
    stems = _scaled(stems)
    if not stems:
        silent.parent.mkdir(exist_ok=True)
        silent.write_text(job.basis, encoding="utf-8")
        return Made(job.name, "silent")
    _write(stems, partial / job.name, audio_format)
    try:
        (partial / job.name).rename(track)
    except OSError:
        if not track.exists():
            raise
        return Made(job.name, "skipped")  # another call has made it meanwhile
    return Made(job.name, "made")


def _scaled(stems: Mapping[str, Audio]) -> dict[str, Audio]:
    """Leave silent stems out, and bring the rest to the track's level by one gain.

    What a recording has where nothing plays is silent too: made loud, it would pass for a stem.
    """
    sounding = {
        source: stem
        for source, stem in stems.items()
        if active_level_db(stem, SAMPLE_RATE) is not None
    }
    if not sounding:
        return {}
    mixture: npt.NDArray[np.float32] = np.sum(list(sounding.values()), axis=0)
    peak = max(float(np.abs(audio).max()) for audio in (mixture, *sounding.values()))
    return {source: stem * np.float32(_PEAK / peak) for source, stem in sounding.items()}


def _write(stems: Mapping[str, Audio], folder: Path, audio_format: str) -> None:
    folder.mkdir()
    for source, stem in stems.items():
        form = Form(audio_format, FORMATS[audio_format], SAMPLE_RATE, stem.shape[0])
        encoder = open_encoder(folder / f"{source}.{audio_format}", form)
        try:
            encoder.write(stem)
            encoder.close()
        finally:
            encoder.abort()
