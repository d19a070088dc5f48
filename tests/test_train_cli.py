"""The train command beside the training itself: its log, and the names of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SongWriter, StemMaker, file_limit, write_folder
from small_training import write_collection
from stemsplit.cards import read_card
from stemsplit.cli.app import run
from stemsplit.cli.train import LOG, PLOT, _log, _memory_named
from stemsplit.config import SOURCES
from stemsplit.errors import NoSpaceError, OutOfMemoryError
from stemsplit.training import TrainingEvent


def test_a_log_goes_on_after_the_checkpoint(tmp_path: Path) -> None:
    """What a killed run logged beyond it, the last row in part, is done and logged again."""
    log = tmp_path / LOG
    log.write_text("step,loss,learning_rate,seconds,validation_loss\n1,2,3,4,\n2,2,3,4,\n3,2\n")
    add = _log(log, done=1)
    add(TrainingEvent(2, 0.5, 1e-3, 0.25, None))
    assert log.read_text().split()[1:] == ["1,2,3,4,", "2,0.50000,0.001,0.250,"]


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As on a full disk, of which the system names no file."""
    add = _log(tmp_path / LOG, done=0)
    add(TrainingEvent(1, 0.5, 1e-3, 0.25, None))
    full = pytest.raises(NoSpaceError, match=r"cannot write .*log\.csv")
    with full, file_limit((tmp_path / LOG).stat().st_size + 5):
        add(TrainingEvent(2, 0.5, 1e-3, 0.25, None))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "training.stepz=3"], 2, "unknown key in [training]: got stepz"),
        (["--set", "network.size={rounds=0}"], 2, "bad rounds"),
        (["--start", "nowhere.json"], 66, "no such --start: nowhere.json"),
        (["--resume"], 66, "nothing to resume"),
    ],
)
def test_mistakes_show_before_songs_are_decoded(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    make_stems: StemMaker,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    write_folder(tmp_path / "data" / "song", make_stems(0.2))
    line = ["train", str(tmp_path / "data"), "-o", str(tmp_path / "run"), *arguments]
    assert run(line) == code
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_plot_that_cannot_be_drawn_ends_no_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], make_stems: StemMaker
) -> None:
    for name in ("data/song", "valid/other"):
        write_folder(tmp_path / name, make_stems(0.5))
    (tmp_path / "run" / PLOT).mkdir(parents=True)
    line = ["train", str(tmp_path / "data"), "--valid", str(tmp_path / "valid"), "--plot"]
    size = "{bands=32, widths=[8, 8], squeeze=[4, 4], dilations=[1]}"
    settings = {"frames": 8, "n_fft": 1024, "hop_length": 256, "single_bands": 8, "size": size}
    changes = [f"network.{key}={value}" for key, value in settings.items()]
    for change in ("training.steps=1", "network.batch_size=1", *changes):
        line += ["--set", change]
    assert run([*line, "-o", str(tmp_path / "run"), "-d", "cpu"]) == 0
    assert "warning: cannot write" in capfd.readouterr().err
    assert (tmp_path / "run/model.json").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough")])
def test_memory_that_is_out_has_a_remedy_that_trainings_have(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="set a smaller batch_size"), _memory_named():
        raise error


def test_the_small_recipe_makes_a_model_that_separates(
    tmp_path: Path, make_stems: StemMaker, write_song: SongWriter
) -> None:
    """As docs/training.md has it, with fewer steps of smaller examples."""
    data = write_collection(tmp_path / "data", make_stems)
    recipe = Path(__file__).parent.parent / "recipes" / "small.toml"
    changes = ["training.steps=4", "training.validate_every=2", "network.batch_size=1"]
    options = [option for change in [*changes, "network.frames=16"] for option in ("--set", change)]
    run_folder = tmp_path / "run"
    line = ["train", str(data / "train"), "--valid", str(data / "valid"), "--recipe", str(recipe)]
    assert run([*line, "-o", str(run_folder), "--name", "mine", "-q", *options]) == 0
    card = read_card(run_folder / "mine.json")
    assert card.training["training"]["steps"] == 4
    assert [entry["name"] for entry in card.data] == ["train"]
    song = write_song("song.wav", 0.5)
    out = tmp_path / "out"
    assert run([str(song), "-o", str(out), "-m", str(run_folder / "mine.json"), "-q"]) == 0
    stems = [soundfile.read(out / "song" / f"{stem}.wav")[0] for stem in SOURCES]
    # Sixteen bits, of which four roundings add up to two steps at most.
    np.testing.assert_allclose(sum(stems), soundfile.read(song)[0], atol=2 * 2**-15)


@pytest.mark.parametrize("name", ["a/b", "ends."])
def test_names_that_no_model_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["train", str(tmp_path), "-o", str(tmp_path), "--name", name]) == 2
    assert "bad --name" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["best", "Checkpoint", "data", "Tiny"])
def test_a_model_is_named_as_no_other_and_no_file_of_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["train", str(tmp_path), "-o", str(tmp_path), "--name", name]) == 2
    assert "choose another --name" in capfd.readouterr().err
