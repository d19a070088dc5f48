"""What a separation shows on stderr and keeps in a log: bars, a line for each song, a summary."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from stemsplit.cli import logfile
from stemsplit.cli.consoles import StderrConsole
from stemsplit.cli.errors import print_error_line
from stemsplit.cli.streams import printable
from stemsplit.errors import OutputError
from stemsplit.events import Event, SongProgress, SongStarted, Warned
from stemsplit.report import DONE, FAILED, SKIPPED, BatchReport, SongReport


class Display:
    """Progress and plain lines on stderr, and the log. A context manager.

    Where stderr is no terminal there are no bars; rich honours ``NO_COLOR``.

    Parameters
    ----------
    quiet:
        Show, and log, nothing but warnings (in the log) and errors.
    log:
        A file to append to; it is made with the first line.
    to_stdout:
        Whether stems go to stdout.
    """

    def __init__(self, *, quiet: bool, log: Path | None = None, to_stdout: bool = False) -> None:
        self._quiet = quiet
        self._log = log
        self._to_stdout = to_stdout
        self._console = StderrConsole(quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._tasks: dict[int, TaskID] = {}
        self._songs = 1
        self._alike: set[str] = set()

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def check(self) -> None:
        """See that there is a place for the log; raises `OutputError`."""
        if self._log is None:
            return
        log, self._log = self._log, None  # what it cannot take is not tried again
        try:
            fault = _fault_of_log(log)
        except OSError as error:  # a name that is too long, or a folder one may not look into
            fault = error.strerror or str(error)
        if fault:
            raise OutputError(
                f"cannot write {log}",
                got=fault,
                wanted="a text file in a folder that is there",
                remedy="choose another --log",
            )
        self._log = log

    def expect(self, songs: Sequence[str]) -> None:
        """Say which songs there are: those whose files have one name are called by their paths."""
        self._songs = len(songs)
        names = Counter(map(_short, songs))
        self._alike = {name for name, count in names.items() if count > 1}

    def _name(self, song: str) -> str:
        short = _short(song)
        return song if short in self._alike else short

    def show(self, event: Event, *, silent: bool = False) -> None:
        """Show what happened to a song; a silent end takes its bar away, and no more."""
        if isinstance(event, SongStarted):
            name = self._name(event.song.shown)
            self._tasks[event.number] = self._bars.add_task(escape(printable(name)), total=None)
        elif isinstance(event, SongProgress):
            self._bars.update(
                self._tasks[event.number],
                completed=event.done_samples,
                total=event.total_samples,
            )
        elif isinstance(event, Warned):
            self.line(event.message, "warning")
        else:
            task = self._tasks.pop(event.number, None)
            if task is not None:
                self._bars.remove_task(task)
            if silent:
                return
            self._ended(event.report)
            if event.traceback is not None:
                self._write_log("error", event.traceback)

    def error(self, message: str) -> None:
        """Print and log an error."""
        if self._bars.disable:
            print_error_line(message)
        else:  # above the bars, and as long as it is: what print() says is folded there
            text = printable(f"stemsplit: error: {message}")
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._write_log("error", message)

    def line(self, text: str, level: str = "info") -> None:
        """Print and log a line as it is."""
        prefix = "" if level == "info" else f"{level}: "
        self._console.print(prefix + printable(text), markup=False, highlight=False, soft_wrap=True)
        if level != "info" or not self._quiet:
            self._write_log(level, text)

    def summary(self, report: BatchReport) -> None:
        """Print how many songs are done; for a single one, its own line has said that."""
        if report.error is not None:
            self._write_log("error", report.error.message)
        if self._songs < 2:
            return
        counts = {status: report.count(status) for status in (DONE, SKIPPED, FAILED)}
        if report.error is not None:  # no fault of the songs that it has kept from being done
            counts["not done"] = sum(song.error == report.error for song in report.songs)
            counts[FAILED] -= counts["not done"]
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        self.line(f"{self._songs} songs: {told}")

    def _ended(self, report: SongReport) -> None:
        name = self._name(report.input)
        if report.error is not None:
            self.error(report.error.message)
        elif report.status == SKIPPED:
            self.line(f"{name}: done before, skipped")
        else:
            assert report.samples is not None
            assert report.sample_rate is not None
            length = report.samples / report.sample_rate
            speed = f"{length / report.seconds:.1f} × real time"
            place = "to stdout" if self._to_stdout else f"in {_relative(report.folder)}"
            self.line(
                f"{name}: {', '.join(report.outputs)} {place}"
                f" ({length:.1f} s in {report.seconds:.1f} s, {speed}, {report.device})"
            )
        if report.gain_db:
            self.line(
                f"{name}: all stems at {report.gain_db:+.2f} dB, so that none clips (see --clip)",
                "warning",
            )
        for stem, count in report.clipped.items():
            self.line(f"{name}: {count} samples of {stem} clipped (see --clip)", "warning")

    def _write_log(self, level: str, text: str) -> None:
        if self._log is None:
            return
        try:
            logfile.append(self._log, level, text)
        except OSError as error:
            reason = OutputError(f"cannot write {self._log}", got=error.strerror or error)
            self._log = None
            self.line(f"{reason}; what follows is not logged", "warning")


def _fault_of_log(log: Path) -> str:
    if str(log) == "-":
        return "no file: stdout is for stems and --json, and what is logged is on stderr"
    if log.is_dir():
        return "a folder"
    if not log.parent.is_dir():
        return f"no folder {log.parent}"
    if not os.access(log if log.exists() else log.parent, os.W_OK):
        return "no permission"
    return "a file that holds no text" if logfile.holds_data(log) else ""


def _short(name: str) -> str:
    return Path(name).name or name


def _relative(folder: str | None) -> str:
    """Give a folder as people write it: from here, if it is below."""
    assert folder is not None
    path = os.path.relpath(folder) if sys.platform != "win32" else folder
    return folder if path.startswith("..") else path
