"""The picture of a training's log."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from stemsplit.errors import MissingExtraError
from stemsplit.training_plot import plot_log

LOG = """step,loss,learning_rate,seconds,validation_loss
1,0.9,0.001,1.0,
2,0.8,0.002,1.0,-4.1
3,0.7,0.001,1.0,
4,0.75,0.0,1.0,-4.2
"""


def test_a_log_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    plot_log(tmp_path / "log.csv", tmp_path / "log.svg")
    root = ElementTree.parse(tmp_path / "log.svg").getroot()
    assert root.tag.endswith("svg")
    lines = {element.get("id", "") for element in root.iter()}
    assert sum(name.startswith("line2d") for name in lines) >= 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "log.svg"]


def test_a_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'pip install "matplotlib>=3.7"'):
        plot_log(tmp_path / "log.csv", tmp_path / "log.svg")
