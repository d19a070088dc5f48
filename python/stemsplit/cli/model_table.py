"""What ``stemsplit models`` prints: a table for each model, and one for a model to be added."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from stemsplit.cards import ModelCard
from stemsplit.cli.consoles import table_console
from stemsplit.cli.streams import printable
from stemsplit.models import DEFAULT_MODEL, packaged_models

if TYPE_CHECKING:
    from stemsplit.library import Candidate

_LARGEST_FIGURE = 1e9
# The first that a card has; SNR is the energy ratio over whole excerpts that README calls SDR.
_MEASURES = {"snr": "SDR", "museval_sdr": "museval's SDR"}


def print_models(cards: Mapping[Path, ModelCard]) -> None:
    """Print what cards say of their models."""
    console = table_console()
    for path, card in cards.items():
        weights = path.with_suffix(".pt")
        size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else "weights missing"
        note = "" if path.stem in packaged_models() else " (yours)"
        note = " (the default)" if card.name == DEFAULT_MODEL else note
        console.print(f"[bold]{escape(printable(card.name))}[/bold]{note}", highlight=False)
        console.print(_table(_rows(card, size)), highlight=False)
        console.print()


def print_candidate(candidate: Candidate, warning: str) -> None:
    """Print what a model that may be added says of itself, and a warning."""
    card = candidate.card
    rows = _rows(card, f"{len(candidate.weights) / 1e6:.1f} MB")
    rows.insert(1, ("kind", card.architecture))
    names = [f"{entry.get('name')} ({entry.get('licence')})" for entry in card.data]
    rows += [("data", "; ".join(names) or "unknown"), ("file", str(candidate.path))]
    rows += [("SHA-256", card.sha256)]
    console = table_console()
    console.print(f"[bold]{escape(printable(card.name))}[/bold]", highlight=False)
    console.print(_table(rows), highlight=False)
    console.print(f"All of this is what its card says. {warning}", highlight=False)


def _table(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, text in rows:
        table.add_row(escape(printable(heading)), escape(printable(text)))
    return table


def _rows(card: ModelCard, size: str) -> list[tuple[str, str]]:
    rows = [("", card.description), ("stems", ", ".join(card.sources))]
    rows.append(("size", f"{card.parameters:,} parameters, {size}"))
    speed = card.validation.get("speed")
    if isinstance(speed, Mapping) and _is_figure(speed.get("times_real_time")):
        device = speed.get("device")
        rate = f"{speed['times_real_time']:.0f} × real time on {device}"
        rows.append(("speed", f"{rate}, over the songs measured on"))
    rows.append(("masks", "soft" if card.soft else "hard unless --soft"))
    rows += _quality(card)
    rows.append(("licence", card.licence))
    return rows


def _quality(card: ModelCard) -> list[tuple[str, str]]:
    """Give a row of dB for each way to mask that the card has figures of; perhaps none."""
    validation = card.validation
    figures = validation.get("figures")
    if not isinstance(figures, Mapping):
        return []
    rows = []
    for way, by_source in figures.items():
        measure = _measure(by_source)
        if measure is None:
            continue
        dbs = ", ".join(
            f"{source} {by_source[source][measure]:.2f}"
            for source in (*card.sources, "mean")
            if _has(by_source, source, measure)
        )
        label = str(way).removeprefix("model_").replace("_", " ")
        rows.append((f"{_MEASURES[measure]}, {label}", f"{dbs} dB"))
    if rows and "tracks" in validation:
        on = f"{validation['tracks']} tracks of {validation.get('collection', 'a collection')}"
        rows.append(("measured on", on))
    return rows


def _measure(by_source: object) -> str | None:
    if not isinstance(by_source, Mapping):
        return None
    return next((m for m in _MEASURES if any(_has(by_source, s, m) for s in by_source)), None)


def _has(by_source: Mapping[str, Any], source: str, measure: str) -> bool:
    facts = by_source.get(source)
    return isinstance(facts, Mapping) and _is_figure(facts.get(measure))


def _is_figure(value: object) -> bool:
    """Tell whether a card holds a number there that can be written."""
    return isinstance(value, (int, float)) and abs(value) < _LARGEST_FIGURE
