"""What became of a batch, for people and for scripts: the document that ``--json`` prints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stemsplit.errors import PARTIAL_BATCH, OutOfMemoryError, StemsplitError, TakenError
from stemsplit.files import absolute
from stemsplit.manifest import Manifest

SCHEMA: Final = 1

DONE: Final = "done"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Failure:
    """Why something failed, in one line, and the exit code for it."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class LastingFailure(Failure):
    """One that stays until somebody moves the file in the way."""


@dataclass(frozen=True)
class SongReport:
    """What became of a song.

    Attributes
    ----------
    input:
        The song as it was named or found.
    status:
        ``done``, ``skipped`` (it was done before) or ``failed``.
    folder:
        The folder its files are in, absolute; None where there are none.
    outputs:
        The absolute path of each stem; none when it failed, unless only its page did.
    sample_rate, channels, samples:
        Of the song: Hz, and samples per channel; None where it has no stems.
    device, precision:
        Where the network ran, and in which arithmetic; None unless it is done.
    segment_seconds:
        Song predicted at a time, s; None unless it is done.
    seconds:
        The time it took.
    gain_db:
        The stems' common level against the mixture.
    clipped:
        Samples cut at full scale by stem.
    timings:
        Seconds by stage.
    page:
        The absolute path of the page about it, if one was asked for.
    error:
        None unless it failed.
    """

    input: str
    status: str
    folder: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    sample_rate: int | None = None
    channels: int | None = None
    samples: int | None = None
    device: str | None = None
    precision: str | None = None
    segment_seconds: float | None = None
    seconds: float = 0.0
    gain_db: float = 0.0
    clipped: dict[str, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    page: str | None = None
    error: Failure | None = None


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    Attributes
    ----------
    version:
        Of stemsplit.
    model, device, precision:
        What it was done with; None when it did not come to that.
    settings:
        The options.
    songs:
        In the order of the arguments.
    error:
        What kept the batch from running, or interrupted it.
    """

    version: str
    model: str | None
    device: str | None
    settings: dict[str, Any]
    songs: Sequence[SongReport] = ()
    error: Failure | None = None
    precision: str | None = None

    def count(self, status: str) -> int:
        """Count the songs of a status."""
        return sum(song.status == status for song in self.songs)

    @property
    def exit_code(self) -> int:
        """0 when all is done, the first failure's code when nothing is, else `PARTIAL_BATCH`."""
        if self.error is not None:
            return self.error.exit_code
        codes = [song.error.exit_code for song in self.songs if song.error is not None]
        if not codes:
            return 0
        return codes[0] if len(codes) == len(self.songs) else PARTIAL_BATCH

    def document(self) -> dict[str, Any]:
        """Give the document that docs/separate.schema.json describes."""
        facts = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        songs = [dataclasses.asdict(song) for song in self.songs]
        error = None if self.error is None else dataclasses.asdict(self.error)
        return {
            "schema": SCHEMA,
            **facts,
            "songs": songs,
            "error": error,
            "exit_code": self.exit_code,
        }


def skipped(song: str, manifest: Manifest, root: Path) -> SongReport:
    """Report a song that was done before, as its record in an output folder says."""
    outputs = {stem: absolute(root / path) for stem, path in manifest.outputs.items()}
    return SongReport(
        song, SKIPPED, folder=common_folder(outputs), outputs=outputs, **manifest.result
    )


def failed(song: str, error: StemsplitError) -> SongReport:
    """Report a song that failed."""
    kind = LastingFailure if isinstance(error, TakenError) else Failure
    return SongReport(song, FAILED, error=kind(str(error), error.exit_code))


def unforeseen(song: str, error: Exception) -> StemsplitError:
    """Give the error to report for one that nobody foresaw."""
    if isinstance(error, MemoryError):
        return OutOfMemoryError(
            f"out of memory at {song}", remedy="try a smaller --segment, or --max-memory"
        )
    return StemsplitError(
        f"cannot separate {song}",
        got=f"{type(error).__name__}: {error}",
        remedy="please report this; --log keeps the details",
    )


def common_folder(outputs: Mapping[str, str]) -> str:
    """Give the deepest folder that all files are below."""
    return os.path.commonpath([Path(path).parent for path in outputs.values()])
