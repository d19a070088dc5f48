"""Files that are whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemsplit.errors import output_error

_LONG_NAME = 200  # bytes; most file systems take 255


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary name in the folder of ``path`` to write to; rename it at the end.

    The file is flushed to the disk before the rename. When the body raises, the temporary file is
    removed and ``path`` stays as it was.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """
    name = path.name
    if len(os.fsencode(name)) > _LONG_NAME:  # with more to it, it could be too long for a file
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):  # the folder that could not be made
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """See the names in a folder safely on the disk, where the system can do that."""
    with suppress(OSError):  # Windows opens no folders, and some network drives sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def user_folder(kind: str) -> Path:
    """Give the program's folder for the user's ``config`` or ``data``, whether or not it is there.

    It is ``$XDG_CONFIG_HOME/stemsplit`` or ``$XDG_DATA_HOME/stemsplit``, where that variable is an
    absolute path, as the XDG base directory specification asks; else it is below ``~/.config`` or
    ``~/.local/share``.
    """
    base = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
    if not Path(base).is_absolute():
        home = os.path.expanduser("~")  # noqa: PTH111 (which fails for users without a home)
        below = {"config": ".config", "data": ".local/share"}[kind]
        base = os.path.join("/" if home == "~" else home, below)  # noqa: PTH118
    return Path(base) / "stemsplit"


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder; what the system cannot look at, for now, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_gone(path: Path) -> bool:
    """Tell whether there is no such file; one that cannot be looked at may come back."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def absolute(path: str | os.PathLike[str]) -> str:
    """Give a path from the root without ``..``; unlike `Path.resolve`, links stay what they are."""
    return os.path.abspath(path)  # noqa: PTH100
