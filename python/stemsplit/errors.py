"""The tree of errors stemsplit raises, and the exit code each one ends a command with.

::

    StemsplitError            70  (EX_SOFTWARE: anything without a better code)
    ├── UsageError             2  an option or argument that cannot be meant
    ├── InputError            66  (EX_NOINPUT) a file that is missing or cannot be opened
    │   ├── NoSongsError      66  a folder without songs
    │   └── AudioError        65  (EX_DATAERR) a file that opens but holds no usable audio
    ├── OutputError           73  (EX_CANTCREAT) a place that cannot be written to
    │   ├── TakenError        73  a file in the way that is not ours to replace
    │   └── NoSpaceError      74  (EX_IOERR) a place that is full, or will be
    ├── ModelError            78  (EX_CONFIG) a model that is unknown, damaged or does not fit
    ├── OutOfMemoryError      70  (EX_SOFTWARE) memory that is not to be had, here or on the device
    ├── DeviceError           69  (EX_UNAVAILABLE) a device that was asked for and is not there
    └── MissingExtraError     69  (EX_UNAVAILABLE) an optional package that is not installed

A batch of which some songs are done and some are not ends with `PARTIAL_BATCH` instead.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

PARTIAL_BATCH = 3
"""Exit code when some songs are done and others failed."""

NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class StemsplitError(Exception):
    """An error a user can act on: what is wrong, what was got, what was wanted, the remedy.

    Parameters
    ----------
    what:
        What is wrong, without a final full stop.
    got, wanted, remedy:
        The offending value, the accepted ones, and what to do about it.

    ``str(error)`` is one line, whatever the parts contain.
    """

    exit_code = 70

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        wanted: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.got = got
        self.wanted = wanted
        self.remedy = remedy
        super().__init__(self._line())

    def _line(self) -> str:
        details = []
        if self.got is not None:
            details.append(f"got {self.got}")
        if self.wanted is not None:
            details.append(f"wanted {self.wanted}")
        line = self.what
        if details:
            line += ": " + ", ".join(details)
        if self.remedy:
            line += f"; {self.remedy}"
        return " ".join(line.split())


class UsageError(StemsplitError):
    """An option or argument that cannot be meant.

    Parameters
    ----------
    what, got, wanted, remedy:
        As of `StemsplitError`.
    options:
        The options that are to blame, as Python writes their names; where none of them is wrong
        alone, those that contradict each other.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        wanted: object = None,
        remedy: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(what, got=got, wanted=wanted, remedy=remedy)
        self.options = tuple(options)


def option_of(parameter: str) -> str:
    """Give an option as the command line spells it, by its parameter's name."""
    return f"--{parameter.replace('_', '-')}"


class InputError(StemsplitError):
    """A file that is missing or cannot be opened."""

    exit_code = 66


class NoSongsError(InputError):
    """A folder without songs."""


class AudioError(InputError):
    """A file that opens but holds no usable audio."""

    exit_code = 65


class OutputError(StemsplitError):
    """A place that cannot be written to."""

    exit_code = 73


class TakenError(OutputError):
    """A file in the way that is not ours to replace."""


class NoSpaceError(OutputError):
    """A place that is full, or will be before the work is done."""

    exit_code = 74


class ModelError(StemsplitError):
    """A model that is unknown, damaged or does not fit."""

    exit_code = 78


class DeviceError(StemsplitError):
    """A device that was asked for and is not there."""

    exit_code = 69


class OutOfMemoryError(StemsplitError):
    """Memory that is not to be had, of the machine or of the device."""


class MissingExtraError(StemsplitError):
    """An optional package that is not installed."""

    exit_code = 69

    @classmethod
    def of(cls, what: str, package: str, extra: str) -> MissingExtraError:
        """Give the error for what needs a package that an extra of stemsplit brings."""
        return cls(what, got=f"no {package}", remedy=installing(extra))


def installing(extra: str) -> str:
    """Give the command that installs the packages of an extra of stemsplit.

    It has their own names: under stemsplit's, an index may have another project.
    """
    from importlib.metadata import PackageNotFoundError, requires

    marker = f'; extra == "{extra}"'
    try:
        lines = requires("stemsplit") or []
    except PackageNotFoundError:
        lines = []
    packages = [f'"{line.removesuffix(marker)}"' for line in lines if line.endswith(marker)]
    if not packages:
        return f'pip install ".[{extra}]" in the clone of stemsplit'
    return f"pip install {' '.join(packages)}"


def output_error(
    path: str | os.PathLike[str], error: OSError, remedy: str = "choose another --output"
) -> OutputError:
    """Say that a path cannot be written to, with what the system gave as the reason."""
    full = error.errno in NO_SPACE
    return (NoSpaceError if full else OutputError)(
        f"cannot write {os.fspath(path)}",
        got=error.strerror or error,
        remedy=f"free some space or {remedy}" if full else remedy,
    )
