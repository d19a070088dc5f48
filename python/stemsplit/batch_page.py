"""The page of a song that a batch has separated: where it goes, and what it says."""

from __future__ import annotations

import dataclasses
import glob
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.errors import OutputError, TakenError
from stemsplit.files import absolute
from stemsplit.page import GENERATOR, PageFacts, write_page
from stemsplit.report import SKIPPED, SongReport

if TYPE_CHECKING:
    from stemsplit.inputs import Song
    from stemsplit.models import ModelCard
    from stemsplit.separate_options import SeparateOptions

_HEAD_BYTES = 1000
_STALE_SECONDS = 7 * 86_400


def page_path(song: Song, options: SeparateOptions) -> Path:
    """Give the page's place: beside the song's folder, by its name.

    Raises
    ------
    OutputError
        There is a file that is no page of ours, and no ``--force``.
    """
    path = options.output / f"{song.track}.html"
    try:
        if not path.exists() or options.force:
            return path
        with path.open("rb") as file:
            ours = GENERATOR.encode() in file.read(_HEAD_BYTES)
    except OSError as error:
        raise OutputError(f"cannot write {path}", got=error.strerror or error) from error
    if not ours:
        raise TakenError(
            f"{path} is there already",
            got="a file that is no report",
            remedy="move it, choose another --output, or separate with --force to replace it",
        )
    return path


def with_page(
    song: Song, report: SongReport, options: SeparateOptions, card: ModelCard
) -> SongReport:
    """Write the page of a song whose stems are there; give its report with the page in it.

    A song that was skipped keeps the page it has, if that is no older than its stems.

    Raises
    ------
    OutputError, InputError
        The page cannot be written, or a file not be read.
    """
    path = page_path(song, options)
    if report.status == SKIPPED and _is_of(path, report):
        return dataclasses.replace(report, page=absolute(path))
    began = time.perf_counter()
    outputs = {stem: Path(file) for stem, file in report.outputs.items()}
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # by a kill
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()
    facts = PageFacts(song.track, _settings(report, options, card), report.timings)
    write_page(path, song.path, outputs, facts)
    took = time.perf_counter() - began
    return dataclasses.replace(
        report,
        page=absolute(path),
        seconds=report.seconds + took,
        timings={**report.timings, "page": took},
    )


def _is_of(page: Path, report: SongReport) -> bool:
    """Tell whether a page was written when the stems were there."""
    try:
        stems = max(Path(file).stat().st_mtime_ns for file in report.outputs.values())
        return page.stat().st_mtime_ns >= stems
    except OSError:
        return False


def _settings(report: SongReport, options: SeparateOptions, card: ModelCard) -> dict[str, object]:
    soft = card.soft if options.soft is None else options.soft
    settings: dict[str, object] = {
        "song": report.input,
        "sample rate": f"{report.sample_rate} Hz",
        "channels": report.channels,
        "model": f"{card.name} ({card.parameters:,} parameters)",
        "masks": "soft" if soft else "hard",
        "format": options.outputs.format,
        "bit depth": options.outputs.bit_depth,
        "stems' level": f"{report.gain_db:+.2f} dB",
    }
    if options.shifts > 1:
        settings["shifts"] = options.shifts
    if report.device is not None:  # else the stems were there before
        settings |= {"device": report.device, "precision": report.precision}
        settings["segment"] = f"{report.segment_seconds:.3g} s"
    for stem, count in report.clipped.items():
        settings[f"clipped in {stem}"] = f"{count} samples"
    return settings
