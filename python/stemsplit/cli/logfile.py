"""The lines of ``--log``: a time, a level and a text each, at the end of a file."""

from __future__ import annotations

import datetime
import errno
import stat
from collections.abc import Sequence
from pathlib import Path

from stemsplit.cli.streams import printable

_HEAD_BYTES = 4096


def append(log: Path, level: str, text: str) -> None:
    """Write the lines of a text; raises `OSError`, also for a file that holds no text."""
    if holds_data(log):
        raise FileExistsError(errno.EEXIST, "a file that is no log")
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        for line in text.splitlines():
            file.write(f"{now} {level} {printable(line)}\n")


def holds_data(path: Path) -> bool:
    """Tell whether a file is there and holds no text, as songs and stems do; raises `OSError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a terminal waits for what it is told
            return False
        with path.open("rb") as file:
            return b"\0" in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return False


def named_in(arguments: Sequence[str]) -> Path | None:
    """Give the log that a command line names, though it may be wrong otherwise."""
    for at, argument in enumerate(arguments):
        if argument == "--log" and at + 1 < len(arguments):
            return Path(arguments[at + 1])
        if argument.startswith("--log="):
            return Path(argument.removeprefix("--log="))
    return None
