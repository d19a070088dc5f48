"""Keeps what a command prints, and its exit code, in files: for hosts that cannot read them.

A DAW's script may start a program and go on, but then sees neither its output nor its end.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from stemsplit.errors import OutputError, StemsplitError
from stemsplit.files import replaced


def run_captured(folder: Path, command: Callable[[], int]) -> int:
    """Run a command with its output in ``folder/stdout`` and ``folder/stderr``.

    ``folder/exit-code`` appears, complete, when the command has ended; one from an earlier run is
    removed before it begins.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "exit-code").unlink(missing_ok=True)
        with (
            (folder / "stdout").open("w", encoding="utf-8", errors="surrogateescape") as out,
            (folder / "stderr").open("w", encoding="utf-8", errors="backslashreplace") as err,
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = _ended(command)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}", got=error.strerror or error) from error
    with replaced(folder / "exit-code", "choose another --capture") as temporary:
        temporary.write_text(f"{code}\n", encoding="ascii")
    return code


def _ended(command: Callable[[], int]) -> int:
    """Run a command; what it exits with is its code too."""
    try:
        return command()
    except SystemExit as end:  # what SIGTERM becomes
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # the host waits for the code, and must not wait for ever
        traceback.print_exc()
        return StemsplitError.exit_code
