"""The table ``--profile`` prints: where the time of a run went, and its peak memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from stemsplit.cli import STARTED
from stemsplit.memory import peak_memory

if TYPE_CHECKING:
    from stemsplit.report import SongReport


def print_profile(
    setup: Mapping[str, float], songs: Sequence[SongReport], where: str, *, to_stderr: bool
) -> None:
    """Print the table on stdout, or on stderr where something else has stdout.

    Parameters
    ----------
    setup:
        Seconds of what came before the first song, by name.
    songs:
        What became of each song that is done; equal stages are added up.
    where:
        The network ran, and in which arithmetic.
    """
    total = time.perf_counter() - STARTED
    audio = sum((song.samples or 0) / (song.sample_rate or 1) for song in songs)
    stages = dict(setup)
    for song in songs:
        for stage, seconds in song.timings.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    segments = sorted({f"{song.segment_seconds:g}" for song in songs})
    table = Table(title=f"{audio:.1f} s of audio on {where}, {'/'.join(segments)} s at a time")
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
    console = Console(stderr=to_stderr)
    console.print(table)
    peak = peak_memory()
    if peak is not None:
        console.print(f"peak memory {peak / 2**20:.0f} MiB", highlight=False)


def _figures(seconds: float, total: float, audio: float) -> tuple[str, str, str]:
    speed = f"{audio / seconds:.1f}" if seconds >= 0.0005 else "-"
    return f"{seconds:.3f}", f"{seconds / total:.0%}", speed
