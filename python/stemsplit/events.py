"""What a batch tells whoever listens, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stemsplit.report import SongReport

if TYPE_CHECKING:
    from stemsplit.inputs import Song


@dataclass(frozen=True)
class SongStarted:
    """A song is begun: its number from 0 in the batch."""

    number: int
    song: Song


@dataclass(frozen=True)
class SongProgress:
    """So many samples of a song are separated; the total is None where it is unknown."""

    number: int
    done_samples: int
    total_samples: int | None


@dataclass(frozen=True)
class SongEnded:
    """A song is done, skipped or failed; for an error nobody foresaw with its traceback."""

    number: int
    report: SongReport
    traceback: str | None = None


@dataclass(frozen=True)
class Warned:
    """Something about the batch that its user should know before it is too late."""

    message: str


Event = SongStarted | SongProgress | SongEnded | Warned
