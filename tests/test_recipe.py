"""Training recipes: what a file may say, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from conftest import StemMaker, write_folder
from stemsplit.band_task import BandSettings
from stemsplit.errors import InputError, UsageError
from stemsplit.provenance import joined
from stemsplit.recipe import (
    DataSource,
    Recipe,
    changed,
    read_recipe,
    settings_from,
    settings_of,
)
from stemsplit.recipe_data import stored
from stemsplit.unet_size import UNetSize

TEXT = """
architecture = "band-unet"
licence = "CC0"

[[data]]
path = "songs"
weight = 2
name = "Mine"

[training]
steps = 10
learning_rate = 1

[network.size]
widths = [16, 32]
squeeze = [8, 16]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, TEXT))
    assert recipe.data == (DataSource(str(tmp_path / "songs"), weight=2.0, name="Mine"),)
    assert recipe.training == {"steps": 10, "learning_rate": 1}
    band = settings_from(BandSettings, recipe.network, "[network]")
    assert band.size == UNetSize(widths=(16, 32), squeeze=(8, 16))


def test_settings_can_be_changed() -> None:
    recipe = changed(Recipe(), ["training.steps=5", "training.precision=bfloat16", "remix.swap=0"])
    assert recipe.training == {"steps": 5, "precision": "bfloat16"}
    assert recipe.remix == {"swap": 0}


def test_settings_within_settings_can_be_changed() -> None:
    recipe = Recipe(network={"size": {"rounds": 2, "bands": 96}})
    again = changed(recipe, ["network.size.rounds=3", "network.size.widths=[8, 8]"])
    assert again.network == {"size": {"rounds": 3, "bands": 96, "widths": [8, 8]}}
    assert recipe.network == {"size": {"rounds": 2, "bands": 96}}
    odd = changed(Recipe(network={"batch_size": 4}), ["network.batch_size.rounds=3"])
    with pytest.raises(UsageError, match=r"batch_size: got {'rounds': 3}, wanted int"):
        settings_of(odd)


@pytest.mark.parametrize("change", ["steps=5", "training.steps", "data.path=x", "training.=1"])
def test_bad_changes_are_refused(change: str) -> None:
    with pytest.raises(UsageError, match="bad --set"):
        changed(Recipe(), [change])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "unknown key .*stepz"),
        ("[[data]]\npath = 3", "data.*wanted str"),
        ("[[data]]\nweight = 1.0", "bad .*data.*path"),
        ('[[data]]\npath = "x"\nweight = 0.0', "bad weight"),
        ('[[data]]\npath = "x"\nweight = inf', "bad weight"),
        ('[[data]]\npath = "x"\nbacking = true\ncoherent = false', "backing = true"),
        ('[[data]]\npath = "x"\nhighest_hz = -1', "bad highest_hz: got -1"),
        ('architecture = "transformer"', "paper or band-unet"),
        ("data = 3", "bad data"),
    ],
)
def test_bad_recipes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_recipe(write(tmp_path, text))


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wanted a TOML file"):
        read_recipe(write(tmp_path, "= ="))
    with pytest.raises(InputError, match="cannot read recipe"):
        read_recipe(tmp_path / "absent.toml")


def test_nested_settings_are_checked() -> None:
    with pytest.raises(UsageError, match=r"network: size.*wide"):
        settings_from(BandSettings, {"size": {"wide": 1}}, "network")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stem_weights": 1}, "stem_weights.*a list of float"),
        ({"stem_weights": [1, 1, 1, "2"]}, "stem_weights.*wanted float"),
        ({"size": {"widths": [16.5]}}, "widths.*wanted int"),
        ({"single_bands": 400}, "bad bands: got 400 single ones of 384"),
        ({"single_bands": 384}, "bad bands: got 384 single ones of 384"),
        ({"size": {"bands": 4096}}, "bad bands.*at most 2049"),
        ({"hop_length": 2048}, "bad hop_length"),
        ({"stem_weights": [1, math.inf, 1, 1]}, "bad stem_weights"),
        ({"ratio_weight": math.nan}, "bad ratio_weight"),
        ({"batch_size": True}, "batch_size: got True, wanted int"),
    ],
)
def test_values_that_no_network_has_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_from(BandSettings, values, "network")


def test_a_song_is_not_learnt_from_and_judged_by(tmp_path: Path, make_stems: StemMaker) -> None:
    for name in ("train/1", "valid/2"):
        write_folder(tmp_path / "data" / name, make_stems(0.2))
    above = Recipe(data=(DataSource(str(tmp_path / "data")),))
    with pytest.raises(UsageError, match="both training and validation: got valid/2"):
        stored(above, [tmp_path / "data" / "valid"], tmp_path / "store", lambda *_: None)


def test_training_needs_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data"):
        stored(Recipe(), [], tmp_path, lambda *_: None)


def test_data_of_two_licences_is_two_data() -> None:
    """Collections without a name of their own are called by their folder: "train", say."""
    mine, theirs = {"name": "train", "licence": "CC0"}, {"name": "train", "licence": "CC BY-NC"}
    assert joined([mine], [mine, theirs]) == [mine, {**theirs, "earlier": True}]
