"""Runs the batch that ``stemsplit separate`` was asked for, and says what came of it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from stemsplit.batch import Batch, SeparateOptions
from stemsplit.cli import pipes
from stemsplit.cli.errors import INTERRUPTED
from stemsplit.cli.process import FreedMemory, libraries_silenced, tune_process
from stemsplit.cli.progress import Display
from stemsplit.errors import StemsplitError, UsageError
from stemsplit.events import Event
from stemsplit.report import DONE, BatchReport, Failure


@dataclass(frozen=True)
class Reporting:
    """What to say, and where: the options of that name."""

    as_json: bool = False
    log: Path | None = None
    quiet: bool = False
    profile: bool = False


def run_command(
    songs: Sequence[Path],
    output: Path,
    settings: Callable[[Path, Callable[[str], None]], SeparateOptions],
    reporting: Reporting,
    *,
    nice: bool = False,
    placed: Callable[[UsageError], UsageError] = lambda error: error,
) -> int:
    """Separate songs and report it; give the exit code.

    Parameters
    ----------
    songs, output:
        As given on the command line, ``-`` among them.
    settings:
        Gives the options for an output folder, and tells lines about them; raises `UsageError`.
    reporting:
        What to say.
    nice:
        Whether to give way to other programs.
    placed:
        Adds to an error of options where those came from.
    """
    tune_process(nice=nice)
    with ExitStack() as stack:
        stack.enter_context(libraries_silenced())
        display = stack.enter_context(
            Display(quiet=reporting.quiet, log=reporting.log, to_stdout=pipes.is_pipe(output))
        )
        report = None
        try:
            display.check()
            if pipes.is_pipe(output):
                pipes.check(songs, as_json=reporting.as_json)
                options = settings(stack.enter_context(pipes.scratch_folder()), display.line)
            else:
                _check_folder(output)
                options = settings(output, display.line)
            freed = FreedMemory()
            batch = Batch(options, lambda event: _show(event, display, freed))
            report = _run(batch, songs, output, display, stack)
            if pipes.is_pipe(output) and not report.exit_code:
                pipes.copy_to_stdout(Path(next(iter(report.songs[0].outputs.values()))))
            if reporting.profile:
                taken = reporting.as_json or pipes.is_pipe(output)
                _print_profile(batch, report, to_stderr=taken)
        except StemsplitError as error:
            shown = placed(error) if isinstance(error, UsageError) else error
            display.error(str(shown))
            failure = Failure(str(shown), error.exit_code)
            report = refused(failure) if report is None else report
            code = error.exit_code
        except (KeyboardInterrupt, SystemExit) as end:  # before the batch, which reports it itself
            ended = end.code if isinstance(end, SystemExit) else INTERRUPTED
            code = ended if isinstance(ended, int) else 1
            report = refused(Failure("interrupted", code)) if report is None else report
        else:
            code = report.exit_code
        if reporting.as_json:
            try:
                pipes.print_text(json.dumps(report.document(), indent=2))
            except StemsplitError as error:
                display.error(str(error))
                code = code or error.exit_code
        return code


def _check_folder(output: Path) -> None:
    """See that a new folder is not called like a file, which is what was wanted then."""
    from stemsplit.audio import AUDIO_SUFFIXES

    if output.suffix.lower() in AUDIO_SUFFIXES and not output.exists():
        raise UsageError(
            "-o takes a folder",
            got=output,
            remedy=f"for one file: --stems NAME -o - > {shlex.quote(str(output))}",
        )


def refused(error: Failure) -> BatchReport:
    """Give the report of a batch that could not begin."""
    from importlib.metadata import version

    return BatchReport(version("stemsplit"), None, None, {}, (), error)


def _run(
    batch: Batch, arguments: Sequence[Path], output: Path, display: Display, stack: ExitStack
) -> BatchReport:
    from stemsplit.inputs import find_songs, spool

    if pipes.is_pipe(output) and batch.files_per_song != 1:
        raise UsageError(
            "only one stem goes to stdout",
            got=f"{batch.files_per_song} files",
            remedy="choose one with --stems NAME",
        )
    songs = []
    for is_pipe, named in groupby(dict.fromkeys(arguments), pipes.is_pipe):
        if is_pipe:
            songs.append(spool(sys.stdin.buffer, stack.enter_context(pipes.scratch_folder())))
        else:
            songs += find_songs(list(named), None if pipes.is_pipe(output) else output)
    if pipes.is_pipe(output) and len(songs) != 1:
        raise UsageError("only one song goes to stdout", got=f"{len(songs)} songs")
    display.expect([song.shown for song in songs])
    report = batch.run(songs)
    display.summary(report)
    return report


def _show(event: Event, display: Display, freed: FreedMemory) -> None:
    display.show(event)
    freed.after(event)


def _print_profile(batch: Batch, report: BatchReport, *, to_stderr: bool) -> None:
    from stemsplit.cli.profile import print_profile

    done = [song for song in report.songs if song.status == DONE]
    if done:
        where = f"{report.device} in {report.precision}"
        print_profile(batch.setup, done, where, to_stderr=to_stderr)
