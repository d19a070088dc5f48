"""The train command beside the training itself: its log, and the names of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemsplit.cli.app import run
from stemsplit.cli.train import LOG, _log
from stemsplit.training import TrainingEvent


def test_a_log_goes_on_after_the_checkpoint(tmp_path: Path) -> None:
    """What a killed run logged beyond it, the last row in part, is done and logged again."""
    log = tmp_path / LOG
    log.write_text("step,loss,learning_rate,seconds,validation_loss\n1,2,3,4,\n2,2,3,4,\n3,2\n")
    with _log(log, done=1) as add:
        add(TrainingEvent(2, 9, 0.5, 1e-3, 0.25, None))
    assert log.read_text().split()[1:] == ["1,2,3,4,", "2,0.50000,0.001,0.250,"]


@pytest.mark.parametrize("name", ["best", "Checkpoint", "data"])
def test_a_model_is_not_named_as_a_file_of_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["train", str(tmp_path), "-o", str(tmp_path), "--name", name]) == 2
    assert "choose another --name" in capfd.readouterr().err
