"""How songs are to be separated, as the command line and a batch have it; validated once."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.config import SEGMENT_SECONDS, checked_shifts
from stemsplit.dsp_arguments import MAX_THREADS
from stemsplit.errors import UsageError
from stemsplit.files import absolute
from stemsplit.models import DEFAULT_MODEL
from stemsplit.outputs import OutputOptions

DEFAULT_TEMPLATE = "{track}/{stem}.{ext}"
PRECISIONS = ("auto", "float32", "half")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class SeparateOptions:
    """How to separate songs, and where to.

    Parameters
    ----------
    output:
        The output folder.
    outputs:
        What to write there.
    model, device, threads, precision, shifts:
        As for `Separator`.
    soft, segment_seconds:
        As for `Separator.separate`.
    jobs:
        Songs worked on at a time.
    max_memory:
        Bytes of memory that the process may take; segments become as short as they have to be.
    skip_existing:
        Leave out a song whose stems are there, made of the same file by the same model with the
        same settings.
    force:
        Replace files that no earlier run made for the song; with ``skip_existing`` an error.
    report:
        Write a page about each song, ``output/TRACK.html``.

    Raises
    ------
    UsageError
        A value that cannot be meant.
    """

    output: Path
    outputs: OutputOptions = field(default_factory=lambda: OutputOptions(filename=DEFAULT_TEMPLATE))
    model: str = DEFAULT_MODEL
    device: str = "auto"
    precision: str = "auto"
    shifts: int = 1
    threads: int | None = None
    soft: bool | None = None
    segment_seconds: float = SEGMENT_SECONDS
    jobs: int = 1
    max_memory: int | None = None
    skip_existing: bool = False
    force: bool = False
    report: bool = False

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise UsageError(
                "bad --device",
                got=self.device,
                wanted="auto, cpu, cuda or cuda:N",
                options=["device"],
            )
        if not (math.isfinite(self.segment_seconds) and self.segment_seconds > 0):
            raise UsageError(
                "bad --segment",
                got=self.segment_seconds,
                wanted="seconds, more than 0",
                options=["segment"],
            )
        if self.precision not in PRECISIONS:
            raise UsageError(
                "bad --precision",
                got=self.precision,
                wanted=" or ".join(PRECISIONS),
                options=["precision"],
            )
        checked_shifts(self.shifts, "--shifts")
        if self.jobs < 1:
            raise UsageError("bad --jobs", got=self.jobs, wanted="at least 1", options=["jobs"])
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            wanted = f"1 to {MAX_THREADS}"
            raise UsageError("bad --threads", got=self.threads, wanted=wanted, options=["threads"])
        if self.force and self.skip_existing:
            raise UsageError(
                "--force skips nothing",
                got="--skip-existing",
                remedy="leave one of them out",
                options=["force", "skip_existing"],
            )
        if self.report and self.outputs.format == "stem":
            raise UsageError(
                "--report needs a file for each stem",
                got="--format stem",
                options=["report", "format"],
            )

    def facts(self) -> dict[str, Any]:
        """Give the options as the report states them."""
        return {**dataclasses.asdict(self), "output": absolute(self.output)}
