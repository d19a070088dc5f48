"""The standard streams: always there, able to hold any text, and no end of the work when unread."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

from stemsplit.errors import NO_SPACE, NoSpaceError, OutputError


def mend_streams() -> None:
    """Make up for streams that are closed, and let text that one cannot hold appear as escapes.

    A closed one's number would be given to the next file that is opened, into which a library's
    complaint would be written. In its place stdin is empty, stderr is not read, and stdout refuses
    what it is told: a stem that goes nowhere is an error.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
            if number == 2:
                os.write(number, b"")  # where a file to read has its number already
        except OSError:
            _put(os.open(os.devnull, flags), number)
    sys.stdin = sys.stdin or _opened(0, "r")
    sys.stdout = sys.stdout or _opened(1, "w")
    sys.stderr = sys.stderr or _opened(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Give text that does nothing to a terminal: names may hold its control sequences.

    Line breaks become spaces, and bytes that are no text, which printing would refuse, escapes.
    """
    line = " ".join(text.encode(errors="backslashreplace").decode().splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def unwritten_stdout(error: OSError) -> OutputError:
    """Give the error for what stdout refuses."""
    gone = isinstance(error, BrokenPipeError)
    kind = NoSpaceError if error.errno in NO_SPACE else OutputError
    return kind(
        "cannot write to stdout",
        got="a reader that went away" if gone else error.strerror or error,
    )


def silence(stream: TextIO) -> None:
    """Let what a stream is told from now on, and what it still holds, go nowhere."""
    with suppress(OSError):  # no file of the system's
        _put(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _opened(number: int, mode: str) -> TextIO:
    return cast(
        TextIO,
        open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False),
    )


def _put(opened: int, number: int) -> None:
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
