"""Model cards: what they may say, and what their seal covers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_model import CARD
from stemsplit.cards import ModelCard, check_name, read_card, write_card
from stemsplit.errors import ModelError


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "card.json"
    path.write_text(json.dumps({**dataclasses.asdict(CARD), **changes}))
    return path


def test_a_card_comes_back(tmp_path: Path) -> None:
    write_card(CARD, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == CARD
    assert set(json.loads((tmp_path / "card.json").read_text())) == {
        field.name for field in dataclasses.fields(ModelCard)
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": "x", "sources": []}', "[" * 100_000, "\xff", "1" * 5000]
)
def test_a_damaged_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="bad model card"):
        read_card(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_fft": 2**40},
        {"n_fft": 100},
        {"n_fft": "64"},
        {"n_fft": 64.0},
        {"hop_length": 0},
        {"hop_length": 1},
        {"hop_length": 33},
        {"bins": 34},
        {"bins": True},
        {"sample_rate": 10**12},
        {"sample_rate": -8000},
        {"context_frames": 10**9},
        {"frame_multiple": 0},
        {"frame_multiple": 10**9},
        {"parameters": 0},
        {"parameters": 10**4000},
        {"magnitude_power": float("nan")},
        {"magnitude_power": 0},
        {"magnitude_power": "1"},
        {"bands": 10, "single_bands": 0},
        {"bands": 34, "single_bands": 3},
        {"bands": 4, "single_bands": 5},
        {"n_fft": 65536, "hop_length": 16384, "bins": 32769, "bands": 4096, "single_bands": 1},
        {"sources": []},
        {"sources": ["vocals", "vocals"]},
        {"sources": ["../vocals"]},
        {"sources": ["vocals", 3]},
        {"sources": [["vocals"]]},
        {"sources": [f"stem{number}" for number in range(1000)]},
        {"name": "../../.bashrc"},
        {"name": ".hidden"},
        {"name": ""},
        {"name": None},
        {"sha256": "abc"},
        {"soft": 1},
        {"data": {}},
        {"data": ["MUSDB18"]},
        {"training": []},
        {"validation": 3},
        {"licence": None},
        {"unheard_of": 1},
    ],
    ids=lambda changes: (
        ", ".join(f"{key}={str(value)[:12]}" for key, value in changes.items())
        if "parameters" not in changes
        else "parameters"
    ),
)
def test_a_card_beyond_all_limits_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    if changes.get("parameters", 0) > 10**9:  # more digits than json writes
        path = written(tmp_path)
        path.write_text(
            path.read_text().replace('"parameters": 66', f'"parameters": 1{"0" * 4000}')
        )
    else:
        path = written(tmp_path, **changes)
    with pytest.raises(ModelError, match="bad model card") as caught:
        read_card(path)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600 + len(str(path))


def test_a_huge_card_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, description="x" * (5 << 20))
    with pytest.raises(ModelError, match="more than 4 MiB"):
        read_card(path)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(key=st.sampled_from([field.name for field in dataclasses.fields(ModelCard)]), value=_VALUES)
def test_whatever_a_field_holds_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({**dataclasses.asdict(CARD), key: value}))
    try:
        card = read_card(path)
    except ModelError:
        return
    assert card.settings.bins >= card.bins


def test_the_seal_covers_what_a_separation_depends_on() -> None:
    texts = {"name", "description", "architecture", "data", "licence", "training", "validation"}
    others: dict[str, Any] = {
        "sources": ("drums", "vocals"),
        "magnitude_power": 0.25,
        "soft": True,
        "sha256": "1" * 64,
    }
    for field in dataclasses.fields(ModelCard):
        value = others.get(field.name, 123)
        changed = dataclasses.replace(CARD, **{field.name: value})
        assert (changed.seal == CARD.seal) == (field.name in texts), field.name


@pytest.mark.parametrize("name", ["tiny", "Ümläut 2.1", "my_model-3+x", "ж" * 100])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a.", "-a", "_a", "a/b", "a\\b", "a:b", "a\nb", "a" * 101, "\x1b[2J"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ModelError, match="bad name"):
        check_name(name)
