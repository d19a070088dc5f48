"""Training: it learns, resumes to the same bits after a kill, and guards its folder."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conftest import StemMaker
from stemsplit.dataset import find_tracks
from stemsplit.errors import InputError, OutputError, UsageError
from stemsplit.models import load_network
from stemsplit.remix import StoredTrack, store_tracks
from stemsplit.train import CHECKPOINT, Training, TrainingEvent, TrainingSettings
from test_dataset import write_folder

SMALL = TrainingSettings(steps=4, batch_size=2, frames=4, warmup=1, validate_every=2)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, make_stems: StemMaker) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    for seed in range(2):
        write_folder(folder / "train" / f"song {seed}", make_stems(1.5, seed=seed))
    write_folder(folder / "valid" / "song 2", make_stems(0.5, seed=2))
    return folder


@pytest.fixture(scope="module")
def tracks(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> list[StoredTrack]:
    return store_tracks(find_tracks(collection), tmp_path_factory.mktemp("store"))


def make_training(
    tracks: list[StoredTrack],
    folder: Path,
    settings: TrainingSettings = SMALL,
    *,
    resume: bool = False,
) -> Training:
    return Training(tracks[:2], tracks[2:], folder, settings, resume=resume)


def test_the_loss_falls(tracks: list[StoredTrack], tmp_path: Path) -> None:
    settings = TrainingSettings(steps=30, batch_size=2, frames=4, warmup=5, validate_every=30)
    events: list[TrainingEvent] = []
    training = make_training(tracks, tmp_path, settings)
    training.run(events.append)
    assert [event.step for event in events] == list(range(1, 31))
    # Undecided masks cost log 2 = 0.693 a bin.
    assert sum(event.loss for event in events[-5:]) / 5 < 0.65
    validation = events[-1].validation
    assert validation is not None
    assert validation.loss < 0.69
    assert all(0.5 < value <= 1 for value in validation.accuracy.values())
    assert all(0 <= value < 0.25 for value in validation.mse.values())


def test_an_interrupted_training_ends_as_an_undisturbed_one(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    straight = make_training(tracks, tmp_path / "straight")
    straight.run()

    def interrupt(event: TrainingEvent) -> None:
        if event.step == 3:  # one step past the checkpoint: that step is lost
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_training(tracks, tmp_path / "broken").run(interrupt)
    resumed = make_training(tracks, tmp_path / "broken", resume=True)
    assert resumed.step == 2
    resumed.run()
    for one, other in zip(straight.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert straight.best == resumed.best


def test_a_killed_command_resumes_to_the_same_model(collection: Path, tmp_path: Path) -> None:
    """SIGKILL, at whatever point it falls, and then --resume."""
    command = [sys.executable, "-m", "stemsplit", "train", str(collection / "train")]
    command += ["--valid", str(collection / "valid"), "--store", str(tmp_path / "store")]
    command += ["--steps", "6", "--batch-size", "1", "--frames", "2", "--warmup", "1"]
    command += ["--validate-every", "1", "--threads", "1", "--quiet"]
    subprocess.run([*command, "-o", str(tmp_path / "straight")], check=True)
    with subprocess.Popen([*command, "-o", str(tmp_path / "killed")]) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "killed" / CHECKPOINT).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    subprocess.run([*command, "-o", str(tmp_path / "killed"), "--resume"], check=True)
    cpu = torch.device("cpu")
    _, straight = load_network(tmp_path / "straight" / "model.json", cpu)
    card, resumed = load_network(tmp_path / "killed" / "model.json", cpu)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert card.training["steps"] == 6
    assert math.isfinite(card.validation["loss"])
    assert [entry["name"] for entry in card.data] == ["train"]


def test_without_validation_the_last_weights_are_kept(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    training = Training(tracks, [], tmp_path, SMALL)
    training.run()
    assert training.best is None
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    for name, weight in training.network.state_dict().items():
        assert torch.equal(weight, state["network"][name])


def test_mixed_precision_trains(tracks: list[StoredTrack], tmp_path: Path) -> None:
    settings = TrainingSettings(
        steps=2, batch_size=1, frames=2, warmup=1, validate_every=2, precision="bfloat16"
    )
    losses: list[float] = []
    make_training(tracks, tmp_path, settings).run(lambda event: losses.append(event.loss))
    assert all(0 < loss < 1 for loss in losses)


def test_dense_steps_leave_the_convolutions_as_they_were(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    settings = TrainingSettings(
        steps=2, batch_size=1, frames=2, warmup=1, validate_every=2, dense_steps=2
    )
    training = make_training(tracks, tmp_path, settings)
    before = {name: weight.clone() for name, weight in training.network.state_dict().items()}
    training.run()
    for name, weight in training.network.state_dict().items():
        assert torch.equal(weight, before[name]) == name.startswith("conv"), name


def test_the_learning_rate_rises_and_falls() -> None:
    settings = TrainingSettings(steps=100, warmup=10, learning_rate=1.0)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)  # half way down the cosine
    assert 0 < rates[99] < 0.001


def test_a_run_in_use_is_not_overwritten(tracks: list[StoredTrack], tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"")
    with pytest.raises(OutputError, match="--resume"):
        make_training(tracks, tmp_path)


def test_resume_needs_a_checkpoint_of_the_same_settings(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        make_training(tracks, tmp_path, resume=True)
    one_step = TrainingSettings(steps=1, batch_size=1, frames=1, warmup=1, validate_every=1)
    make_training(tracks, tmp_path, one_step).run()
    with pytest.raises(UsageError, match="other settings"):
        make_training(tracks, tmp_path, SMALL, resume=True)


def test_tracks_of_another_rate_are_refused(tracks: list[StoredTrack], tmp_path: Path) -> None:
    settings = TrainingSettings(sample_rate=22050)
    with pytest.raises(InputError, match="44100 Hz, wanted 22050 Hz"):
        make_training(tracks, tmp_path, settings)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="steps"):
        TrainingSettings(steps=0)
    with pytest.raises(UsageError, match="precision"):
        TrainingSettings(precision="int8")
