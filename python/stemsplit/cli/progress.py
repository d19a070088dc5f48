"""What a separation shows on stderr: a bar with the time left, and a line when a song is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from stemsplit.separate import Progress as SongProgress


class Display:
    """Progress and plain lines on stderr.

    Parameters
    ----------
    quiet:
        Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def progress(self, name: str) -> Iterator[Callable[[SongProgress], None]]:
        """Show a bar while the context lasts; give what moves it on.

        Where stderr is no terminal there is no bar.
        """
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=self._console.quiet or not self._console.is_terminal,
        )
        with bar:
            task = bar.add_task(escape(_printable(name)), total=None)

            def show(progress: SongProgress) -> None:
                bar.update(task, completed=progress.done_samples, total=progress.total_samples)

            yield show

    def line(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(_printable(text), markup=False, highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    # A file name may hold bytes that are no text, which rich would fail to print.
    return text.encode(errors="backslashreplace").decode()
