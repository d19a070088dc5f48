"""``stemsplit watch FOLDER``: separates what is put into a folder, as long as it runs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stemsplit.batch import Batch
from stemsplit.cli import options, pipes
from stemsplit.cli.groups import FileGroup, WorkGroup, takes_groups
from stemsplit.cli.precedence import settled
from stemsplit.cli.process import FreedMemory, libraries_silenced, tune_process
from stemsplit.errors import (
    DeviceError,
    InputError,
    NoSpaceError,
    OutputError,
    StemsplitError,
    UsageError,
)
from stemsplit.events import SongEnded
from stemsplit.files import is_folder, is_gone
from stemsplit.report import FAILED, SKIPPED, LastingFailure
from stemsplit.separate_options import SeparateOptions

if TYPE_CHECKING:
    from stemsplit.cli.progress import Display
    from stemsplit.events import Event
    from stemsplit.inputs import Song
    from stemsplit.report import BatchReport, SongReport
    from stemsplit.watch import FolderWatch

_RETRY_SECONDS = 60.0
_RETRIED = {
    InputError.exit_code,
    DeviceError.exit_code,
    OutputError.exit_code,
    NoSpaceError.exit_code,
}
# Those that nothing but somebody's doing ends, and that cost nothing to try.
_TOLD_ONCE = {InputError.exit_code, DeviceError.exit_code}


@takes_groups
def watch(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(readable=False, metavar="FOLDER", help="Watched with all folders in it."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where the stems go, made if missing."
        ),
    ],
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            help="How long a file must not have changed to be taken for complete.",
        ),
    ] = 3.0,
    once: Annotated[
        bool, typer.Option("--once", help="End when all that is there is done.")
    ] = False,
    *,
    files: FileGroup,
    work: WorkGroup,
    report: options.Report = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON on stdout for each song.")
    ] = False,
    log: options.Log = None,
    quiet: options.Quiet = False,
) -> int:
    """Separate every song that is put into a folder, until Ctrl-C.

    A song is begun when its file has not changed for some seconds. What is done already, by this
    or an earlier run, is not done again; a file that changes is. Stems that end up in the folder
    are no songs.
    """
    from stemsplit.batch_places import check_template
    from stemsplit.cli.progress import Display  # rich, which only this needs

    def build(left_out: Collection[str]) -> SeparateOptions:
        reports = report and "report" not in left_out
        kept = files.without(left_out)
        built = work.settings(output, kept, skip_existing=True, report=reports)
        check_template(built)
        return built

    with libraries_silenced(), Display(quiet=quiet, log=log) as display:
        try:
            display.check()
            _check(folder, output, settle)
            settings = settled(context, build, {*vars(files), "report"}, display.line)
            freed = FreedMemory()
            batch = Batch(settings, _Shown(display, freed))
            with _codes_kept():
                tune_process(nice=work.nice)
                return _watch(folder, settle, batch, display, once=once, as_json=as_json)
        except StemsplitError as error:
            display.error(str(error))
            return error.exit_code


def _check(folder: Path, output: Path, settle: float) -> None:
    if not is_folder(folder):
        remedy = "name the folder it is in" if os.path.lexists(folder) else "make it first"
        raise InputError(f"no such folder: {folder}", wanted="one that may be read", remedy=remedy)
    if pipes.is_pipe(output):
        raise UsageError("watch needs a folder to write to", got="-o -")
    if not 0 <= settle < 86_400:
        raise UsageError("bad --settle", got=settle, wanted="seconds, 0 or more")


def _watch(
    folder: Path, settle: float, batch: Batch, display: Display, *, once: bool, as_json: bool
) -> int:
    """Separate what is ready, for ever or until all is done; give the exit code."""
    from stemsplit.watch import FolderWatch, looks

    batch.load()  # a model or device that cannot be had shows now, not with the first song
    watched = FolderWatch(folder, batch.options.output, settle=settle)
    display.line(f"watching {folder}; Ctrl-C ends it")
    code, present = 0, True
    told: set[str] = set()
    for songs in looks(watched):
        if watched.present is not present:
            present = watched.present
            text = "is there again" if present else "is gone; waiting until it is there again"
            display.line(f"{folder} {text}", "info" if present else "warning")
        told = _tell(watched.problems, told, display)
        if songs:
            try:
                done = batch.run(songs)
            except OutputError as error:  # the folder cannot be looked at, for now
                if once:
                    raise
                display.error(str(error))
                for song in songs:
                    watched.again(song, _RETRY_SECONDS)
                continue
            code = code or done.exit_code
            if as_json:
                for result in done.songs:
                    print(json.dumps(dataclasses.asdict(result)), flush=True)
            if done.error is not None:
                return done.exit_code
            if not once:
                _try_again(songs, done, watched)
        if once and present and not watched.waiting:
            return code or (InputError.exit_code if watched.problems else 0)
    return code


def _tell(problems: Sequence[InputError], told: set[str], display: Display) -> set[str]:
    """Warn of what cannot be looked at, once as long as it lasts; give what is told."""
    lines = {str(problem) for problem in problems}
    for line in sorted(lines - told):
        display.line(line, "warning")
    return lines


def _try_again(songs: Sequence[Song], done: BatchReport, watched: FolderWatch) -> None:
    """Keep in mind what failed for a reason that may pass without a change of the song."""
    for song, result in zip(songs, done.songs, strict=True):
        if result.status == FAILED and result.error is not None:
            if is_gone(song.path):
                watched.again(song, 0)
            elif result.error.exit_code in _RETRIED:
                watched.again(song, _RETRY_SECONDS)


class _Shown:
    """Shows what happens: yesterday's songs need no line each, what lasts until mended but one."""

    def __init__(self, display: Display, freed: FreedMemory) -> None:
        self._display = display
        self._freed = freed
        self._told: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        self._display.show(event, silent=isinstance(event, SongEnded) and self._known(event.report))
        self._freed.after(event)

    def _known(self, report: SongReport) -> bool:
        if report.status == SKIPPED:
            return True
        lasting = isinstance(report.error, LastingFailure)
        if report.error is None or not (lasting or report.error.exit_code in _TOLD_ONCE):
            self._told.pop(report.input, None)
            return False
        before = self._told.get(report.input)
        self._told[report.input] = report.error.message
        return before == report.error.message


@contextmanager
def _codes_kept() -> Iterator[None]:
    """End by SIGTERM and SIGHUP with their own codes: watchfiles makes Ctrl-C's of every signal."""
    received = []

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise SystemExit(128 + number)

    numbers = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # Windows has none
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
