"""Trust: which models are run, and what becomes of cards that contradict their weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from small_model import CARD, Forgetful, Gains, Loud, Nothing, save
from stemsplit import library, trust
from stemsplit.cards import read_card, write_card
from stemsplit.errors import ModelError, OutputError, UsageError
from stemsplit.models import find_card, load_network, own_models, packaged_models
from stemsplit.packaged import SEALS
from stemsplit.separate import Separator

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user a folder of models of the test's own."""
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        pytest.fail("torch was given a model that nobody has accepted")

    monkeypatch.setattr(torch.jit, "load", refuse)


def test_the_code_vouches_for_the_packaged_models_as_they_are() -> None:
    """When this fails: python recipes/package_model.py."""
    cards = {name: read_card(find_card(name)) for name in packaged_models()}
    assert {name: card.seal for name, card in cards.items()} == SEALS


@pytest.mark.usefixtures("nothing_runs")
def test_a_stranger_is_not_run(tmp_path: Path) -> None:
    path = save(tmp_path)
    with pytest.raises(ModelError, match=r"code that nobody has accepted.*stemsplit models add"):
        load_network(path, CPU)
    with pytest.raises(ModelError, match="nobody has accepted"):
        Separator(str(path))


@pytest.mark.usefixtures("nothing_runs")
def test_packaged_weights_and_card_changed_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    save(folder).rename(folder / "tiny.json")
    (folder / "small.pt").rename(folder / "tiny.pt")
    monkeypatch.setattr(trust, "WEIGHTS_FOLDER", folder)
    with pytest.raises(ModelError, match=r"not the one that was packaged.*install stemsplit again"):
        load_network(find_card("tiny"), CPU)
    trust.accept(read_card(find_card("tiny")))  # what the user trusts is not what was packaged
    with pytest.raises(ModelError, match="not the one that was packaged"):
        load_network(find_card("tiny"), CPU)


def test_packaged_weights_are_trusted_wherever_they_are(tmp_path: Path) -> None:
    for suffix in (".json", ".pt"):
        shutil.copy(find_card("tiny").with_suffix(suffix), tmp_path)
    load_network(tmp_path / "tiny.json", CPU)


def test_a_caller_may_vouch(tmp_path: Path) -> None:
    path = save(tmp_path)
    sha256 = read_card(path).sha256
    assert Separator(str(path), "cpu", trusted_sha256=sha256).name == "small"
    with pytest.raises(ModelError, match="nobody has accepted"):
        Separator(str(path), "cpu", trusted_sha256="0" * 64)


def test_acceptance_is_of_the_weights_and_the_geometry(tmp_path: Path, own_folder: Path) -> None:
    path = save(tmp_path)
    card = library.accept(path)
    assert [file.name for file in own_folder.rglob("*.json")] == [f"{card.sha256}.json"]
    load_network(path, CPU)
    write_card(dataclasses.replace(card, description="Better words."), path)
    load_network(path, CPU)
    write_card(dataclasses.replace(card, sample_rate=16_000), path)
    with pytest.raises(ModelError, match="code that has changed: got a card that was accepted oth"):
        load_network(path, CPU)
    write_card(card, path)
    assert trust.forget(card)
    assert not trust.forget(card)
    with pytest.raises(ModelError, match="nobody has accepted"):
        load_network(path, CPU)


def test_two_cards_of_one_model_may_both_be_run(tmp_path: Path) -> None:
    """As one for hard masks and one for soft ones; the weights are the same."""
    hard = save(tmp_path)
    card = library.accept(hard)
    soft = tmp_path / "soft.json"
    write_card(dataclasses.replace(card, soft=not card.soft), soft)
    soft.with_suffix(".pt").write_bytes(hard.with_suffix(".pt").read_bytes())
    library.accept(soft)
    for path in (hard, soft):
        load_network(path, CPU)
    trust.forget(card)
    for path in (hard, soft):
        with pytest.raises(ModelError, match="nobody has accepted"):
            load_network(path, CPU)


@pytest.mark.parametrize("text", ["", "{}", '{"seal": 3}', "[]"])
def test_a_damaged_record_accepts_nothing(tmp_path: Path, own_folder: Path, text: str) -> None:
    card = library.accept(save(tmp_path))
    (own_folder / "accepted" / f"{card.sha256}.json").write_text(text)
    with pytest.raises(ModelError, match="nobody has accepted"):
        load_network(tmp_path / "small.json", CPU)


@pytest.mark.parametrize(
    ("network", "changes", "got"),
    [
        (Gains, {"parameters": 67}, "66 parameters, wanted 67"),
        (Gains, {"sources": ("vocals", "drums", "bass")}, r"\(1, 2, .*\(1, 3, "),
        (Gains, {"sources": ("vocals",)}, r"\(1, 2, .*\(1, 1, "),
        (Gains, {"bins": 32}, "RuntimeError"),
        (Gains, {"context_frames": 1}, "an answer of"),
        (Gains, {"context_frames": 3}, "an answer of"),
        (Gains, {"bands": 33, "single_bands": 3}, "an answer of|RuntimeError"),
        (Loud, {}, "answers from .* wanted 0 to 1"),
        (Nothing, {}, "answers from nan to nan"),
        (Forgetful, {}, "answers that differ by .* piece by piece"),
    ],
)
def test_a_card_that_contradicts_its_weights(
    tmp_path: Path,
    own_folder: Path,
    network: type[nn.Module],
    changes: dict[str, Any],
    got: str,
) -> None:
    path = save(tmp_path, network(), **changes)
    with pytest.raises(ModelError, match=f"does not fit.*({got})") as caught:
        library.accept(path)
    assert "\n" not in str(caught.value)
    assert not own_folder.exists()
    with pytest.raises(ModelError, match=f"does not fit.*({got})"):
        load_network(path, CPU, trusted_sha256=read_card(path).sha256)


def test_what_torch_cannot_load(tmp_path: Path) -> None:
    path = save(tmp_path)
    weights = path.with_suffix(".pt")
    data = weights.read_bytes().replace(b"constants.pkl", b"constants.pkk")
    weights.write_bytes(data)
    write_card(dataclasses.replace(read_card(path), sha256=hashlib.sha256(data).hexdigest()), path)
    with pytest.raises(ModelError, match="bad weights"):
        library.accept(path)


def test_adding_copies_and_removing_removes(tmp_path: Path, own_folder: Path) -> None:
    path = save(tmp_path)
    library.add(library.examine(path, "mine 2"))
    assert own_models() == ["mine 2"]
    card, _ = load_network(find_card("mine 2"), CPU)
    assert (card.name, card.seal) == ("mine 2", read_card(path).seal)
    for file in tmp_path.glob("small.*"):
        file.unlink()
    assert Separator("mine 2", "cpu").name == "mine 2"
    library.add(library.examine(own_folder / "mine 2.json"))  # again: nothing to say
    assert library.remove("mine 2")
    assert [file for file in own_folder.rglob("*") if file.is_file()] == []
    with pytest.raises(ModelError, match="no such model of yours: got mine 2, wanted one that was"):
        library.remove("mine 2")


def test_removing_one_of_two_names_leaves_the_other(tmp_path: Path) -> None:
    path = save(tmp_path)
    library.add(library.examine(path, "one"))
    library.add(library.examine(path, "two"))
    library.remove("two")
    assert Separator("one", "cpu").name == "one"
    library.remove("one")
    with pytest.raises(ModelError, match="nobody has accepted"):
        Separator(str(path), "cpu")


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path)
    with pytest.raises(UsageError, match="there already: got tiny; choose another with --name"):
        library.examine(path, "tiny")
    library.add(library.examine(path))
    changed = Gains()
    nn.init.zeros_(changed.gains)
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="there already: got small"):
        library.examine(save(tmp_path / "b", changed))
    with pytest.raises(ModelError, match="bad name"):
        library.examine(path, "../evil")


def test_what_is_written_is_what_was_examined(tmp_path: Path, own_folder: Path) -> None:
    path = save(tmp_path)
    weights = path.with_suffix(".pt").read_bytes()
    candidate = library.examine(path)
    path.with_suffix(".pt").write_bytes(b"changed in between")
    library.add(candidate)
    assert (own_folder / "small.pt").read_bytes() == weights


def test_files_put_into_the_folder_by_hand_are_not_run(own_folder: Path) -> None:
    own_folder.mkdir()
    save(own_folder)
    with pytest.raises(ModelError, match="nobody has accepted"):
        Separator("small", "cpu")
    assert library.remove("small")
    (own_folder / "broken.json").write_text("{")
    assert library.remove("broken")


def test_forgetting_leaves_the_files(tmp_path: Path) -> None:
    path = save(tmp_path)
    library.accept(path)
    assert not library.remove(str(path))
    assert path.is_file()
    with pytest.raises(ModelError, match="no such model of yours"):
        library.remove(str(path))


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot write"):
        library.add(library.examine(save(tmp_path)))


def test_the_folder_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trust.VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert trust.models_folder() == Path("/data/stemsplit/models")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert trust.models_folder() == Path("/home/ada/.local/share/stemsplit/models")


def test_the_record_says_what_it_is_of(tmp_path: Path, own_folder: Path) -> None:
    card = library.accept(save(tmp_path))
    record = json.loads((own_folder / "accepted" / f"{card.sha256}.json").read_text())
    assert record["name"] == CARD.name
    assert record["seal"] == card.seal
