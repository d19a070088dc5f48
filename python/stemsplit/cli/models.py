"""``stemsplit models``: the models in the package and what their cards say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stemsplit.models import DEFAULT_MODEL, ModelCard, find_card, packaged_models, read_card

_MEASURES = {"museval_sdr": "SDR", "snr": "SNR"}


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with the whole cards.")
    ] = False,
) -> None:
    """List the models in the package: size, parameters, and what they reach."""
    cards = {find_card(name): read_card(find_card(name)) for name in packaged_models()}
    if as_json:
        listing = [_facts(path, card) for path, card in cards.items()]
        typer.echo(json.dumps({"schema": 1, "default": DEFAULT_MODEL, "models": listing}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for path, card in cards.items():
        default = " (the default)" if card.name == DEFAULT_MODEL else ""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for heading, text in _rows(path, card):
            table.add_row(heading, escape(text))
        console.print(f"[bold]{escape(card.name)}[/bold]{default}", highlight=False)
        console.print(table, highlight=False)
        console.print()


def _facts(path: Path, card: ModelCard) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    return {**facts, "default": card.name == DEFAULT_MODEL, "bytes": _size(path)}


def _rows(path: Path, card: ModelCard) -> list[tuple[str, str]]:
    rows = [("", card.description), ("stems", ", ".join(card.sources))]
    size = _size(path)
    weight = f", {size / 1e6:.1f} MB" if size is not None else ", weights missing"
    rows.append(("size", f"{card.parameters:,} parameters{weight}"))
    speed = card.validation.get("speed")
    if isinstance(speed, Mapping) and isinstance(speed.get("times_real_time"), (int, float)):
        rows.append(("speed", f"{speed['times_real_time']:.0f} × real time on {speed['device']}"))
    rows.append(("masks", "soft" if card.soft else "hard unless --soft"))
    rows.extend(_quality(card))
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
    return isinstance(facts, Mapping) and isinstance(facts.get(measure), (int, float))


def _size(card_path: Path) -> int | None:
    weights = card_path.with_suffix(".pt")
    return weights.stat().st_size if weights.is_file() else None
