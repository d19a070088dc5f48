"""``stemsplit SONG... -o OUT``: the command that separates songs."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stemsplit.cli.completion import devices, model_names
from stemsplit.cli.errors import print_error
from stemsplit.cli.process import tune_process
from stemsplit.errors import InputError, UsageError
from stemsplit.models import DEFAULT_MODEL, find_card

if TYPE_CHECKING:
    from stemsplit.cli.progress import Display
    from stemsplit.separate import FileResult, Separator

_SEGMENT_SECONDS = 10.0  # as stemsplit.pipeline has it, whose import would bring torch
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class _Job(NamedTuple):
    """A song and the folder its stems go to."""

    song: Path
    folder: Path


def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(metavar="SONG", help="WAV, FLAC, OGG, MP3 or whatever libsndfile reads."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder; the stems go to OUTPUT/SONG/.")
    ],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="The model's name.", autocompletion=model_names),
    ] = DEFAULT_MODEL,
    device: Annotated[
        str,
        typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.", autocompletion=devices),
    ] = "auto",
    soft: Annotated[
        bool, typer.Option("--soft", help="Mask by probability instead of all or nothing.")
    ] = False,
    segment: Annotated[
        float, typer.Option("--segment", metavar="SECONDS", help="How much to work on at a time.")
    ] = _SEGMENT_SECONDS,
    precision: Annotated[
        str,
        typer.Option("--precision", help="of the network: auto, float32, or half (faster)"),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="CPU threads; all by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print where the time went, and the peak memory.")
    ] = False,
) -> int:
    """Split songs into vocals, drums, bass and other.

    The stems are OUTPUT/SONG/vocals.wav, drums.wav, bass.wav and other.wav, with the song's sample
    rate, channels and length. The word "separate" may be left out: stemsplit song.wav -o out/
    """
    _check_options(device, segment, threads)
    find_card(model)
    jobs, code = _readable(_plan(songs, output))
    if not jobs:
        return code
    from stemsplit.cli.progress import Display  # rich, which only this needs

    display = Display(quiet=quiet)
    tune_process()
    began = time.perf_counter()
    from stemsplit.separate import Separator  # torch: slower than everything before it

    imported = time.perf_counter()
    separator = Separator(model, device=device, threads=threads, precision=precision)
    setup = {"import": imported - began, "load model": time.perf_counter() - imported}
    results = []
    for job in jobs:
        try:
            results.append(_separate_one(job, separator, soft or None, segment, display))
        except InputError as error:  # damage inside the file; the other songs can still be done
            print_error(error)
            code = code or error.exit_code
    if profile and results:
        from stemsplit.cli.profile import print_profile

        print_profile(setup, results)
    return code


def _check_options(device: str, segment: float, threads: int | None) -> None:
    if not _DEVICE.fullmatch(device):
        raise UsageError("bad --device", got=device, wanted="auto, cpu, cuda or cuda:N")
    if not (math.isfinite(segment) and segment > 0):
        raise UsageError("bad --segment", got=segment, wanted="seconds, more than 0")
    if threads is not None and threads < 1:
        raise UsageError("bad --threads", got=threads, wanted="at least 1")


def _plan(songs: Iterable[Path], output: Path) -> list[_Job]:
    """Give each song its folder; no two songs may share one."""
    jobs: dict[str, _Job] = {}
    for song in songs:
        name = song.stem if song.stem.strip(".") else song.name
        # Folded: to many file systems Song and song are one name.
        rival = jobs.get(name.casefold())
        if rival is not None:
            raise UsageError(
                "two songs would share a folder",
                got=f"{rival.song} and {song}",
                wanted="different names",
                remedy="separate them in two calls with different --output",
            )
        jobs[name.casefold()] = _Job(song, output / name)
    return list(jobs.values())


def _readable(jobs: Sequence[_Job]) -> tuple[list[_Job], int]:
    """Keep the jobs whose song opens; give them, and the exit code of the first that does not."""
    from stemsplit.audio import AudioReader

    kept, code = [], 0
    for job in jobs:
        try:
            AudioReader(job.song).close()
            kept.append(job)
        except InputError as error:
            print_error(error)
            code = code or error.exit_code
    return kept, code


def _separate_one(
    job: _Job, separator: Separator, soft: bool | None, segment: float, display: Display
) -> FileResult:
    from stemsplit.separate import separate_file

    began = time.perf_counter()
    with display.progress(job.song.name) as show:
        result = separate_file(
            job.song,
            job.folder,
            separator=separator,
            soft=soft,
            segment_seconds=segment,
            on_progress=show,
        )
    took = time.perf_counter() - began
    length = result.samples / result.sample_rate
    display.line(
        f"{job.song.name}: {', '.join(result.stems)} in {job.folder}"
        f" ({length:.1f} s in {took:.1f} s, {length / took:.1f} × real time, {result.device})"
    )
    for stem, count in result.clipped.items():
        display.line(
            f"warning: {job.song.name}: {count} samples of {stem} clipped; a source in a float"
            " format gives stems that cannot clip"
        )
    return result
