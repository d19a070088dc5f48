"""How the command line ends: one line on stderr and an exit code for everything foreseeable."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, cast

import typer

from stemsplit.cli import logfile
from stemsplit.cli.habits import instead_of
from stemsplit.cli.streams import printable, silence, unwritten_stdout
from stemsplit.errors import OutputError, StemsplitError, UsageError

INTERRUPTED = 128 + signal.SIGINT
# What a stream, which has no name, may refuse with: it is full, closed, or on a broken device.
_UNWRITTEN = {errno.ENOSPC, errno.EBADF, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}

# What Typer raises for arguments it cannot parse. It does not export the class, which is click's
# before Typer 0.26 and its own since.
_PARSER_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP unwind as Ctrl-C does, so that unfinished files are removed."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:  # nohup
        signal.signal(hang_up, leave)


def print_error_line(message: str) -> None:
    """Print an error's message as the one line scripts may look for."""
    _print_line(f"error: {message}")


def exit_code_of(command: Callable[[], object], log: Path | None = None) -> int:
    """Run a command; turn what it raises into a line on stderr and an exit code.

    The line of an error goes to the log too: what a command raises kept it from logging it itself.
    """
    try:
        result = command()
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return OutputError.exit_code  # rich and Typer end so where nobody reads stdout any more
    except Exception as error:  # the last net: nobody is served by a traceback
        line, code = _explained(error)
        if line:
            print_error_line(line)
        if log is not None:
            with suppress(OSError):
                logfile.append(log, "error", line)
        return code
    if result == INTERRUPTED:  # what recent versions of Typer turn KeyboardInterrupt into
        _print_line("interrupted")
    return result if isinstance(result, int) else 0


def _explained(error: Exception) -> tuple[str, int]:
    """Give the line of an error, and its exit code."""
    if isinstance(error, MemoryError):
        error = StemsplitError("out of memory", remedy="try a smaller --segment, or --max-memory")
    elif isinstance(error, _PARSER_ERROR):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "stemsplit"
        message = error.format_message().rstrip(". ")
        if not message:  # the help was asked for by saying nothing, and is printed
            return "", UsageError.exit_code
        option = str(getattr(error, "option_name", ""))
        remedy = instead_of(option)
        if remedy:
            message = f"no such option: {option}"
        elif getattr(getattr(error, "param", None), "name", None) == "output":
            remedy = f"name a folder, such as -o out/; see {command} --help"
        error = UsageError(message, remedy=remedy or f"see {command} --help")
    elif isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITTEN:
        silence(sys.stdout)  # which Python would write to once more at its end
        error = unwritten_stdout(error)
    elif isinstance(error, OSError):  # where nobody thought that the system could refuse
        error = StemsplitError("the system refused", got=error)
    elif not isinstance(error, StemsplitError):
        place = traceback.extract_tb(error.__traceback__)[-1]
        error = StemsplitError(
            "an error nobody foresaw",
            got=f"{type(error).__name__}: {error}, in {Path(place.filename).name}:{place.lineno}",
            remedy="please report this, with what stemsplit --version prints",
        )
    return str(error), error.exit_code


def _print_line(text: str) -> None:
    # File names may hold bytes that are no text; stderr escapes those instead of failing.
    try:
        print(f"stemsplit: {printable(text)}", file=sys.stderr, flush=True)
    except OSError:  # nobody reads it
        silence(sys.stderr)
