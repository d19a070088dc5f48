"""Files that are whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemsplit.errors import output_error

_LONG_NAME = 200  # bytes; most file systems take 255
_STALE_SECONDS = 7 * 86_400  # after which a call at work is taken for one that was killed


@contextmanager
def replaced(path: Path, remedy: str = "choose another --output") -> Iterator[Path]:
    """Give a temporary name in the folder of ``path`` to write to; rename it at the end.

    The file is flushed to the disk before the rename. When the body raises, the temporary file is
    removed and ``path`` stays as it was. The body only writes: its errors are taken for the file's.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error, remedy) from error
    finally:
        with suppress(OSError):  # the folder that could not be made
            temporary.unlink(missing_ok=True)


def check_writable(path: Path, remedy: str) -> None:
    """See that `replaced` can write a file, where much work comes first; raises `OutputError`."""
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise output_error(path, error, remedy) from error


def _temporary(path: Path) -> Path:
    name = path.name
    if len(os.fsencode(name)) > _LONG_NAME:  # with more to it, it could be too long for a file
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return path.with_name(f".{name}.{os.getpid()}.tmp")


def remove_stale(folder: Path, prefix: str) -> None:
    """Remove the folders of names that begin so which a call left that was killed a week ago."""
    for partial in folder.glob(f"{prefix}*"):
        with suppress(FileNotFoundError):  # another call has ended
            if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)


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


def existing(path: Path) -> Path:
    """Give a path, or the first above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def folders_between(top: Path | str, folder: Path) -> list[Path]:
    """Give a folder and those above it that lie below another, the uppermost first."""
    above = [place for place in (folder, *folder.parents) if place != Path(top)]
    return [place for place in reversed(above) if place.is_relative_to(top)]


def remove_empty(folders: list[Path]) -> None:
    """Remove those of some folders in which there is nothing, the last first."""
    for folder in reversed(folders):
        with suppress(OSError):  # something is in it
            folder.rmdir()
