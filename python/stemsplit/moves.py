"""Files that make way for new ones, and come back where those cannot all be put in place."""

from __future__ import annotations

import os
from pathlib import Path

_KEPT = ".earlier"


def kept(path: Path) -> Path:
    """Give where the file that a new one replaces stays until all are in their places."""
    return path.with_name(path.name + _KEPT)


def keep(target: Path, place: Path) -> None:
    """Keep the file that is about to be replaced, if any, at a second place."""
    if os.path.lexists(place) or not os.path.lexists(target):
        return
    if target.is_dir() and not target.is_symlink():  # which no file can replace
        return
    try:
        os.link(target, place, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without links
        target.replace(place)


def is_changed(path: Path, size: int | None) -> bool:
    """Tell whether a file is there that has another size."""
    try:
        return size is not None and path.stat().st_size != size
    except OSError:
        return False


def moved(path: Path, place: Path) -> bool:
    """Move a file; tell whether it is there now, or there is nothing left to move, or no place."""
    try:
        path.replace(place)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
