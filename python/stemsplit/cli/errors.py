"""How the command line ends: one line on stderr and an exit code for everything foreseeable."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, cast

import typer

from stemsplit.errors import StemsplitError

INTERRUPTED = 128 + signal.SIGINT

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


def print_error(error: StemsplitError) -> None:
    """Print an error as the one line scripts may look for."""
    print_error_line(str(error))


def print_error_line(message: str) -> None:
    """Print an error's message as that line."""
    _print_line(f"error: {message}")


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command; turn what it raises into a line on stderr and an exit code."""
    try:
        result = command()
    except StemsplitError as error:
        print_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except MemoryError:
        _print_line("error: out of memory; try a smaller --segment, or --max-memory")
        return StemsplitError.exit_code
    except OSError as error:  # of the system, where nobody thought that it could be
        print_error(StemsplitError("the system refused", got=error))
        return StemsplitError.exit_code
    except _PARSER_ERROR as error:
        message = error.format_message().rstrip(". ")
        print_error(StemsplitError(message, remedy="see stemsplit --help"))
        return 2
    if result == INTERRUPTED:  # what recent versions of Typer turn KeyboardInterrupt into
        _print_line("interrupted")
    return result if isinstance(result, int) else 0


def _print_line(text: str) -> None:
    # File names may hold bytes that are no text; stderr escapes those instead of failing.
    print(f"stemsplit: {text}", file=sys.stderr, flush=True)
