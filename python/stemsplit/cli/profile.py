"""The table ``--profile`` prints: where the time of a run went, and its peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from stemsplit.cli import STARTED

if TYPE_CHECKING:
    from stemsplit.separate import FileResult


def print_profile(setup: Mapping[str, float], results: Sequence[FileResult]) -> None:
    """Print the table on stdout.

    Parameters
    ----------
    setup:
        Seconds of what came before the first song, by name.
    results:
        What separating each song gave; equal stages are added up.
    """
    total = time.perf_counter() - STARTED
    audio = sum(result.samples / result.sample_rate for result in results)
    stages = dict(setup)
    for result in results:
        for stage, seconds in result.timings.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    table = Table(title=f"{audio:.1f} s of audio on {results[0].device}")
    table.add_column("stage")
    for heading in ("seconds", "of the total", "× real time"):
        table.add_column(heading, justify="right")
    for stage, seconds in stages.items():
        table.add_row(stage, *_figures(seconds, total, audio))
    rest = total - sum(stages.values())
    # Stages that overlap in time add up to more than the total.
    if rest >= 0:
        table.add_row("everything else", *_figures(rest, total, audio))
    table.add_section()
    table.add_row("total", *_figures(total, total, audio))
    console = Console()
    console.print(table)
    peak = peak_memory()
    if peak is not None:
        console.print(f"peak memory {peak / 2**20:.0f} MiB", highlight=False)


def peak_memory() -> int | None:
    """Give the most memory this process has held, in bytes; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _figures(seconds: float, total: float, audio: float) -> tuple[str, str, str]:
    speed = f"{audio / seconds:.1f}" if seconds >= 0.0005 else "-"
    return f"{seconds:.3f}", f"{seconds / total:.0%}", speed
