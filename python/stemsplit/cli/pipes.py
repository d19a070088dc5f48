"""``-`` for a file: songs from stdin, a stem to stdout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from stemsplit.cli.streams import silence, unwritten_stdout
from stemsplit.errors import UsageError, option_of
from stemsplit.separate_options import SeparateOptions


def is_pipe(path: Path) -> bool:
    """Tell whether an argument means stdin or stdout."""
    return str(path) == "-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder of the system's for temporary files that goes away at the end."""
    with TemporaryDirectory(prefix="stemsplit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def check(songs: Sequence[Path], *, as_json: bool) -> None:
    """See that stdout can take a stem; raises `UsageError`."""
    if as_json:
        raise UsageError("stdout cannot take both the stem and --json", remedy="leave one out")
    if len(songs) > 1:
        raise UsageError("only one song goes to stdout", got=f"{len(songs)} songs")
    if sys.stdout.isatty():
        raise UsageError("stdout is a terminal", remedy="pipe it on, or choose a folder for -o")


def check_options(options: SeparateOptions) -> None:
    """See that nothing is asked for that needs an output folder; raises `UsageError`."""
    for name in ("report", "skip_existing"):
        if getattr(options, name):
            what = f"{option_of(name)} needs a folder to look into"
            raise UsageError(what, got="-o -", options=[name, "output"])


def copy_to_stdout(path: Path) -> None:
    """Write a file to stdout; raises `OutputError` when nobody reads it to the end."""
    with _stdout() as stdout, path.open("rb") as file:
        shutil.copyfileobj(file, stdout.buffer, 1 << 20)


def print_text(text: str) -> None:
    """Print a text on stdout; raises `OutputError` as `copy_to_stdout` does."""
    with _stdout() as stdout:
        print(text, file=stdout)


@contextmanager
def _stdout() -> Iterator[TextIO]:
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)  # which Python would write to once more at its end
        raise unwritten_stdout(error) from error
