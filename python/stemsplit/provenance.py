"""What a model has learnt from, in the weights it began with too: licences follow the data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stemsplit.cards import read_card
from stemsplit.files import replaced

FILE = "data.json"
"""In a run's folder: a list of what the run learns from, as a model's card has it."""

Entries = list[dict[str, Any]]


def joined(data: Iterable[Mapping[str, Any]], earlier: Iterable[Mapping[str, Any]]) -> Entries:
    """Give data and, marked as earlier, what of the data before is not among them.

    What has another licence is something else, though it is called the same.
    """
    entries = [dict(entry) for entry in data]
    known = {(entry.get("name"), entry.get("licence")) for entry in entries}
    return entries + [
        {**entry, "earlier": True}
        for entry in earlier
        if (entry.get("name"), entry.get("licence")) not in known
    ]


def learnt_by(start: Path) -> Entries:
    """Give what the weights of a run's folder, or of a model's card, have learnt from.

    Raises
    ------
    ModelError
        The card is damaged.
    """
    if not start.is_dir():
        return read_card(start).data
    try:
        return read(start)
    except FileNotFoundError:  # a run of before there was the file
        return [{"name": f"what {start.name} learnt from", "licence": "unknown"}]


def write(folder: Path, entries: Entries) -> None:
    """Keep what a run learns from in its folder."""
    with replaced(folder / FILE) as temporary:
        temporary.write_text(
            json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read(folder: Path) -> Entries:
    """Give what a run learns from."""
    entries: Entries = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return entries
