"""``stemsplit evaluate DIR``: the table of figures, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.cli.logfile import holds_data
from stemsplit.cli.process import tune_process
from stemsplit.config import checked_shifts
from stemsplit.errors import OutputError, UsageError
from stemsplit.files import check_writable, is_folder, replaced
from stemsplit.models import DEFAULT_MODEL, find_card
from stemsplit.separate_options import PRECISIONS

if TYPE_CHECKING:
    from rich.table import Table

    from stemsplit.evaluate import Evaluation

_COLUMNS = {
    "mask_accuracy": "mask\naccuracy",
    "mask_mse": "mask\nMSE",
    "si_sdr": "SI-SDR\ndB",
    "sdr": "SDR\ndB",
    "snr": "SNR\ndB",
    "museval_sdr": "museval\nSDR dB",
}
_DECIMALS = {"mask_accuracy": 3, "mask_mse": 3}
_CAPTION = (
    "SI-SDR, SDR and SNR: ratios over the whole excerpt and all channels, means over tracks. SDR "
    "is BSS Eval 3's, which forgives a 512-tap filter; SNR is the plain |s|²/|s-e|² that is often "
    "called SDR. museval SDR: BSS Eval 4's, median over seconds, then over tracks. A mixture's "
    "mask is 1 everywhere; one of 0 has the rest of its accuracy. published: what the paper "
    "reports on its own data (doi 10.31891/csit-2026-1-15); a range over the sources stands under "
    "their mean. (n): of n tracks only, in the mean n sources; where a stem is silent, ratios are "
    "undefined."
)


def evaluate(
    directory: Annotated[
        Path,
        typer.Argument(
            readable=False,
            metavar="DIR",
            help="Tracks: .stem.mp4 files, or folders with vocals, drums, bass and other as WAV, "
            "FLAC or OGG.",
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="The model's name.")] = DEFAULT_MODEL,
    device: Annotated[
        str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything, per track, to a JSON file."),
    ] = None,
    soft: Annotated[
        bool | None,
        typer.Option(
            "--soft/--no-soft",
            help="Add a row for the model's soft masks; by default if they are its own way.",
            show_default=False,
        ),
    ] = None,
    museval: Annotated[
        bool, typer.Option("--museval/--no-museval", help="Compute museval's SDR.")
    ] = True,
    tracks: Annotated[
        int | None,
        typer.Option("--tracks", metavar="N", min=1, help="Take the first N tracks only."),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Of the network: auto, float32 or half.")
    ] = "auto",
    shifts: Annotated[
        int,
        typer.Option(
            "--shifts",
            metavar="N",
            help="Take the mean of N separations; mask accuracy and MSE stay those of one.",
        ),
    ] = 1,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the figures into the model's card.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Measure a model on tracks whose stems are known.

    Prints the paper's metrics and museval's, for the mixture, for ideal masks and for the model.
    """
    if update_card and shifts > 1:
        raise UsageError(
            "--update-card is for a model as it is",
            got=f"--shifts {shifts}",
            remedy="leave one of them out",
        )
    if update_card:
        check_writable(find_card(model), "leave --update-card out")
    checked_shifts(shifts, "--shifts")
    if precision not in PRECISIONS:
        raise UsageError("bad --precision", got=precision, wanted=" or ".join(PRECISIONS))
    tune_process()
    # Only now: torch takes seconds to import, and the command line must answer without.
    from stemsplit.evaluate import evaluate as run
    from stemsplit.separate import Separator

    write = _json_file(json_path)
    with _progress(quiet=quiet) as show:
        evaluation = run(
            directory,
            Separator(model, device, precision=precision, shifts=shifts),
            soft=soft,
            museval=museval,
            limit=tracks,
            on_progress=show,
        )
        write(evaluation.to_dict())
    print_table(evaluation)
    if update_card:
        _update_card(model, directory.resolve().name, evaluation)


def _update_card(model: str, collection: str, evaluation: Evaluation) -> None:
    """Put the model's rows, by source and metric, into its card as its validation."""
    from stemsplit.models import read_card, write_card

    facts = evaluation.to_dict()
    figures = {
        row: {
            source: {metric: figure["value"] for metric, figure in by_metric.items()}
            for source, by_metric in by_source.items()
        }
        for row, by_source in facts["figures"].items()
        if row.startswith("model")
    }
    path = find_card(model)
    validation = {
        "collection": collection,
        "tracks": len(evaluation.tracks),
        "speed": facts["speed"],
        "figures": figures,
    }
    card = dataclasses.replace(read_card(path), validation=validation)
    write_card(card, path, "leave --update-card out")
    print(f"card written: {path}", file=sys.stderr)


def print_table(evaluation: Evaluation) -> None:
    """Print the figures on stdout, as wide as they need to be: cut off they would mislead."""
    from rich.console import Console

    table = _table(evaluation)
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)


def _table(evaluation: Evaluation) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from stemsplit.config import SOURCES
    from stemsplit.evaluate import MEAN

    count = len(evaluation.tracks)
    seconds = sum(track.seconds for track in evaluation.tracks)
    table = Table(
        title=f"{escape(evaluation.model)}: {evaluation.parameters:,} parameters, "
        f"{count} track{'s' if count > 1 else ''}, {seconds / 60:.1f} min, separated in "
        f"{evaluation.speed:.0f} × real time on {evaluation.device}",
        caption=_CAPTION,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0),
    )
    table.add_column("", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for source in (*SOURCES, MEAN):
        table.add_row(f"[bold]{source}[/bold]")
        for row in evaluation.rows:
            name = row.replace("_", " ")
            table.add_row(f" {name}", *(_cell(evaluation, row, source, key) for key in _COLUMNS))
        table.add_row(" published", *(_published(source, key) for key in _COLUMNS), style="dim")
        table.add_section()
    return table


def _cell(evaluation: Evaluation, row: str, source: str, metric: str) -> str:
    from stemsplit.config import SOURCES
    from stemsplit.evaluate import MEAN

    figure = evaluation.figure(row, source, metric)
    if not figure.count:
        return "–"
    value = f"{figure.value:.{_DECIMALS.get(metric, 2)}f}"
    if figure.count < len(SOURCES if source == MEAN else evaluation.tracks):
        value += f" ({figure.count})"
    return value


def _published(source: str, metric: str) -> str:
    from stemsplit.evaluate import MEAN, PAPER_MASK_ACCURACY, PAPER_RANGES

    if metric == "mask_accuracy":
        figures = PAPER_MASK_ACCURACY
        mean = sum(figures.values()) / len(figures)
        return f"{figures.get(source, mean):.3f}"
    if source != MEAN or metric not in PAPER_RANGES:
        return "–"
    low, high = PAPER_RANGES[metric]
    decimals = _DECIMALS.get(metric, 2)
    return f"{low:.{decimals}f}\nto {high:.{decimals}f}"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar with the time left on stderr, if that is a terminal; give what moves it on."""
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from stemsplit.cli.consoles import StderrConsole

    console = StderrConsole()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        task = bar.add_task("loading the model", total=None)

        def show(done: int, total: int, name: str) -> None:
            # A file name may hold bytes that are no text, which rich would fail to print.
            printable = name.encode(errors="backslashreplace").decode()
            bar.update(task, completed=done, total=total, description=escape(printable))

        yield show


def _json_file(path: Path | None) -> Callable[[dict[str, Any]], None]:
    """Give what writes the JSON file; a place that cannot be written to shows before the work."""
    if path is None:
        return lambda _content: None
    if is_folder(path):
        raise OutputError(f"cannot write {path}", got="a folder", wanted="the name of a file")
    try:
        data = holds_data(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}", got=error.strerror) from error
    if data:
        raise OutputError(f"cannot write {path}", got="a file that is no JSON", wanted="another")
    remedy = "choose another --json"
    check_writable(path, remedy)

    def write(content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        with replaced(path, remedy) as temporary:
            temporary.write_text(text, encoding="utf-8")

    return write
