"""What tables and progress are printed on."""

from __future__ import annotations

import sys

from rich.console import Console

from stemsplit.cli.streams import silence

_WIDE = 1000


class StderrConsole(Console):
    """A console on stderr that falls silent when nobody reads it; the work goes on."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(stderr=True, quiet=quiet)

    def on_broken_pipe(self) -> None:
        """Fall silent, where rich would end the program."""
        self.quiet = True
        silence(sys.stderr)


def table_console() -> Console:
    """Give a console on stdout: as wide as a terminal, or as what it prints where that is read."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)
