"""Training recipes: what a file may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemsplit.band_task import BandSettings
from stemsplit.errors import InputError, UsageError
from stemsplit.recipe import DataSource, Recipe, changed, read_recipe, settings_from, stored
from stemsplit.unet import UNetSize

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
    assert band.size == UNetSize(widths=(16, 32))


def test_settings_can_be_changed() -> None:
    recipe = changed(Recipe(), ["training.steps=5", "training.precision=bfloat16", "remix.swap=0"])
    assert recipe.training == {"steps": 5, "precision": "bfloat16"}
    assert recipe.remix == {"swap": 0}


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
        ('[[data]]\npath = "x"\nbacking = true\ncoherent = false', "backing = true"),
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


def test_training_needs_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data"):
        stored(Recipe(), [], tmp_path, lambda *_: None)
