"""Training: it learns, resumes to the same bits after a kill, and guards its folder."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import StemMaker
from small_training import NETWORKS, make_training, small_recipe, write_collection
from stemsplit.cards import ModelCard
from stemsplit.checkpoints import CHECKPOINT
from stemsplit.dataset import find_tracks, read_track
from stemsplit.errors import (
    InputError,
    ModelError,
    OutputError,
    UsageError,
)
from stemsplit.loop_settings import LoopSettings
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.models import load_network
from stemsplit.recipe import DataSource, changed, export, training_of
from stemsplit.recipe_data import stored
from stemsplit.separate import Separator
from stemsplit.training import TrainingEvent, Validation
from stemsplit.trust import accept


@pytest.fixture(params=sorted(NETWORKS))
def architecture(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, make_stems: StemMaker) -> Path:
    return write_collection(tmp_path_factory.mktemp("collection"), make_stems)


@pytest.fixture(scope="module")
def tracks(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> list[StoredTrack]:
    return store_tracks(find_tracks(collection), tmp_path_factory.mktemp("store"))


def test_the_loss_falls(tracks: list[StoredTrack], tmp_path: Path, architecture: str) -> None:
    """On batches it has trained on; new ones differ too much, and nothing is promised of them."""
    recipe = small_recipe(architecture, steps=40, warmup=3, validate_every=40, learning_rate=5e-3)
    training = make_training(tracks, tmp_path, recipe)

    def loss(network: torch.nn.Module) -> float:
        torch.manual_seed(0)  # the same dropout before and after, whatever ran in between
        with torch.no_grad():
            batches = [training.task.batch(step) for step in range(6)]
            return sum(float(training.task.loss(network, batch)) for batch in batches)

    before = loss(training.network.train())
    events: list[TrainingEvent] = []
    trained = training.run(events.append)
    assert loss(trained.train()) < 0.95 * before
    assert [event.step for event in events] == list(range(1, 41))
    assert events[-1].validation is not None


def test_an_interrupted_training_ends_as_an_undisturbed_one(
    tracks: list[StoredTrack], tmp_path: Path, architecture: str
) -> None:
    """Bit for bit, averaged weights and the paper's change of network at step 3 included."""
    recipe = small_recipe(architecture)
    straight = make_training(tracks, tmp_path / "straight", recipe)
    wanted = straight.run()

    def interrupt(event: TrainingEvent) -> None:
        if event.step == 3:  # one step past the checkpoint: that step is lost
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_training(tracks, tmp_path / "broken", recipe).run(interrupt)
    resumed = make_training(tracks, tmp_path / "broken", recipe, resume=True)
    assert resumed.step == 2
    got = resumed.run()
    for one, other in zip(wanted.parameters(), got.parameters(), strict=True):
        assert torch.equal(one, other)
    assert straight.best == resumed.best


def test_a_killed_command_resumes_to_the_same_model(collection: Path, tmp_path: Path) -> None:
    """SIGKILL, at whatever point it falls, and then --resume."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        f"""
        architecture = "paper"
        licence = "for tests"
        [[data]]
        path = "{collection / "train"}"
        licence = "CC0"
        [training]
        steps = 6
        warmup = 1
        validate_every = 1
        [network]
        batch_size = 1
        frames = 2
        trunk_steps = 3
        """
    )
    command = [sys.executable, "-m", "stemsplit", "train", "--recipe", str(recipe)]
    command += ["--valid", str(collection / "valid"), "--store", str(tmp_path / "store")]
    command += ["--threads", "1", "--quiet"]
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
    assert card.training["training"]["steps"] == 6
    assert math.isfinite(card.validation["loss"])
    (data,) = card.data
    assert data == {
        "weight": 1.0,
        "coherent": True,
        "backing": False,
        "name": "train",
        "licence": "CC0",
    }
    with (tmp_path / "killed" / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5", "6"]


def test_a_trained_compact_model_separates(collection: Path, tmp_path: Path) -> None:
    """End to end: recipe, training, export, card, separation."""
    recipe = dataclasses.replace(
        small_recipe("band-unet"), data=(DataSource(str(collection / "train")),)
    )
    tracks, valid = stored(recipe, [collection / "valid"], tmp_path / "store", lambda *_: None)
    training = training_of(recipe, tracks, valid, tmp_path / "run")
    card = export(training, recipe, training.run(), tmp_path / "run" / "small.json")
    assert (card.bands, card.frame_multiple, card.soft) == (32, 4, True)
    separator = Separator(str(tmp_path / "run" / "small.json"), "cpu", trusted_sha256=card.sha256)
    mixture = read_track(find_tracks(collection / "valid")[0]).mixture
    stems = separator.separate(mixture, 44_100).stems
    total = np.sum(list(stems.values()), axis=0)
    # Masks that sum to 1: what is left is the rounding of float32 transforms.
    np.testing.assert_allclose(total, mixture, atol=1e-6)


def test_a_training_begins_from_another_ones_weights(
    tracks: list[StoredTrack], tmp_path: Path, architecture: str
) -> None:
    recipe = small_recipe(architecture, steps=2)
    trained = make_training(tracks, tmp_path / "first", recipe).run()
    second = training_of(recipe, tracks, [], tmp_path / "second", start=tmp_path / "first")
    for one, other in zip(trained.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(InputError, match="cannot begin from"):
        training_of(recipe, tracks, [], tmp_path / "third", start=tmp_path)
    (tmp_path / "first" / "best.pt").write_bytes(b"half")
    with pytest.raises(InputError, match=r"cannot read .*best\.pt: got .*, wanted a file that"):
        training_of(recipe, tracks, [], tmp_path / "third", start=tmp_path / "first")


def test_a_training_begins_from_a_models_card(tracks: list[StoredTrack], tmp_path: Path) -> None:
    recipe = small_recipe("band-unet", steps=2)
    training = make_training(tracks, tmp_path / "run", recipe)
    trained = training.run()
    card = export(training, recipe, trained, tmp_path / "small.json")
    with pytest.raises(ModelError, match="code that nobody has accepted"):
        training_of(recipe, tracks, [], tmp_path / "none", start=tmp_path / "small.json")
    accept(card)
    second = training_of(recipe, tracks, [], tmp_path / "next", start=tmp_path / "small.json")
    for one, other in zip(trained.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(InputError, match="cannot begin from"):
        training_of(
            small_recipe("paper"), tracks, [], tmp_path / "other", start=tmp_path / "small.json"
        )


def test_a_card_names_what_the_first_weights_learnt_from(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    """Over any number of trainings; what is learnt from again stands once."""

    def trained(name: str, start: Path | None, *data: str) -> ModelCard:
        recipe = dataclasses.replace(
            small_recipe("band-unet", steps=1),
            data=tuple(DataSource(f"in/{song}", licence=f"that of {song}") for song in data),
        )
        training = training_of(recipe, tracks, [], tmp_path / name, start=start)
        network = training.run()
        if start is None:  # as one that was ended goes on, without its first command's --start
            training = training_of(recipe, tracks, [], tmp_path / name, resume=True)
        card = export(training, recipe, network, tmp_path / name / "model.json")
        accept(card)
        return card

    trained("first", None, "noise", "songs")
    trained("second", tmp_path / "first", "songs", "bells")
    card = trained("third", tmp_path / "second" / "model.json", "voices")
    named = [(entry["name"], entry["licence"], "earlier" in entry) for entry in card.data]
    assert named == [
        ("voices", "that of voices", False),
        ("songs", "that of songs", True),
        ("bells", "that of bells", True),
        ("noise", "that of noise", True),
    ]
    assert not any("in/" in str(entry) for entry in card.data)
    (tmp_path / "first" / "data.json").unlink()
    last = trained("old", tmp_path / "first", "voices").data[-1]
    assert last == {"name": "what first learnt from", "licence": "unknown", "earlier": True}


def test_without_validation_the_last_weights_are_kept(
    tracks: list[StoredTrack], tmp_path: Path, architecture: str
) -> None:
    recipe = small_recipe(architecture, average=0.0)
    training = training_of(recipe, tracks, [], tmp_path)
    network = training.run()
    assert training.best is None
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, state["network"][name])


def test_validations_without_progress_end_a_training(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    # A rate of nearly nothing: the first validation stays the best, or all but the same.
    recipe = small_recipe(
        "band-unet", steps=50, validate_every=1, patience=2, learning_rate=1e-30, average=0.0
    )
    events: list[TrainingEvent] = []
    training = make_training(tracks, tmp_path, recipe)
    training.task.validate = lambda _: Validation(float(training.step), {})  # type: ignore[method-assign]
    training.run(events.append)
    assert [event.step for event in events] == [1, 2, 3]


def test_mixed_precision_trains(
    tracks: list[StoredTrack], tmp_path: Path, architecture: str
) -> None:
    losses: list[float] = []
    recipe = small_recipe(architecture, precision="bfloat16")
    make_training(tracks, tmp_path, recipe).run(lambda event: losses.append(event.loss))
    assert all(0 < loss < 3 for loss in losses)


def test_the_learning_rate_rises_and_falls() -> None:
    settings = LoopSettings(steps=100, warmup=10, learning_rate=1.0)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)  # half way down the cosine
    assert 0 < rates[99] < 0.001


def test_a_run_in_use_is_not_overwritten(tracks: list[StoredTrack], tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"")
    with pytest.raises(OutputError, match="--resume"):
        make_training(tracks, tmp_path, small_recipe("band-unet"))


def test_resume_needs_a_checkpoint_of_the_same_settings(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    recipe = small_recipe("band-unet", steps=1)
    with pytest.raises(InputError, match="nothing to resume"):
        make_training(tracks, tmp_path, recipe, resume=True)
    make_training(tracks, tmp_path, recipe).run()
    named = r"other settings: got training\.steps = 2, wanted training\.steps = 1; resume"
    with pytest.raises(UsageError, match=named):
        make_training(tracks, tmp_path, small_recipe("band-unet", steps=2), resume=True)


def test_resume_needs_the_same_songs(tracks: list[StoredTrack], tmp_path: Path) -> None:
    recipe = small_recipe("band-unet", steps=2)
    make_training(tracks, tmp_path, recipe).run()
    other = [tracks[0], dataclasses.replace(tracks[1], weight=0.5)]
    for learnt, judged in ((other, tracks[2:]), (tracks[:1], tracks[2:]), (tracks[:2], [])):
        with pytest.raises(UsageError, match="other settings"):
            training_of(recipe, learnt, judged, tmp_path, resume=True)
    assert make_training(tracks, tmp_path, recipe, resume=True).step == 2


def test_a_paper_network_begins_from_one_that_has_left_its_trunk(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    training_of(small_recipe("paper"), tracks[:2], [], tmp_path / "one").run()
    recipe = changed(small_recipe("paper"), ["network.trunk_steps=0"])
    training = training_of(recipe, tracks[:2], [], tmp_path / "two", start=tmp_path / "one")
    learnt = torch.load(tmp_path / "one" / "best.pt", weights_only=True)["network"]
    for name, value in training.network.state_dict().items():
        torch.testing.assert_close(value, learnt[name], rtol=0, atol=0)


def test_an_average_goes_on_where_the_network_leaves_its_trunk(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    recipe = small_recipe("paper", average=1 - 1e-9, warmup=0, learning_rate=0.1)
    training = training_of(recipe, tracks[:2], [], tmp_path)
    assert training.average is not None
    first = training.average.state_dict()["conv1.weight"].clone()
    training.run()
    assert training.step > NETWORKS["paper"]["trunk_steps"]
    # Of its four steps the average has begun lower: 1/10, 2/11, 3/12 and 4/13 of the one before.
    last, now = training.average.state_dict(), training.network.state_dict()
    assert len(last["conv1.weight"]) == 4 * len(first)
    assert not torch.equal(last["conv1.weight"], now["conv1.weight"])


def test_muon_resumes_to_the_same_bits(tracks: list[StoredTrack], tmp_path: Path) -> None:
    """Two optimizers, whose states both have to be kept."""
    recipe = small_recipe("band-unet", optimizer="muon")
    recipe = changed(recipe, ["network.size={bands=32, widths=[16, 16, 16], dilations=[1]}"])
    wanted = make_training(tracks, tmp_path / "straight", recipe).run()

    def interrupt(event: TrainingEvent) -> None:
        if event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_training(tracks, tmp_path / "broken", recipe).run(interrupt)
    got = make_training(tracks, tmp_path / "broken", recipe, resume=True).run()
    for one, other in zip(wanted.parameters(), got.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_larger_network_begins_from_a_smaller_one(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    small = small_recipe("band-unet", steps=2)
    trained = make_training(tracks, tmp_path / "small", small).run()
    wider = {**NETWORKS["band-unet"]["size"], "widths": [8, 12, 16]}
    large = dataclasses.replace(small, network={**small.network, "size": wider})
    training = training_of(large, tracks, [], tmp_path / "large", start=tmp_path / "small")
    x = torch.rand(1, 8, 4, 32)
    with torch.inference_mode():
        difference = training.network.eval().masks(x) - trained.masks(x)
    assert difference.abs().max() < 1e-6  # the order of float32 sums


def test_processes_of_torchrun_train_one_network(collection: Path, tmp_path: Path) -> None:
    """Two of them on one machine: one log, one model, which is not what one alone would make."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "[training]\nsteps = 3\nwarmup = 1\nvalidate_every = 2\naverage = 0.5\n"
        "[network]\nbatch_size = 2\nframes = 8\nn_fft = 1024\nhop_length = 256\nsingle_bands = 8\n"
        "[network.size]\nbands = 32\nwidths = [8, 8, 8]\nsqueeze = [4, 4, 4]\ndilations = [1]\n"
    )
    command = ["-m", "stemsplit", "train", str(collection / "train"), "--recipe", str(recipe)]
    command += ["--valid", str(collection / "valid"), "--threads", "1", "-q", "-d", "cpu"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, prefix in (("alone", []), ("together", torchrun)):
        arguments = [sys.executable, *prefix, *command, "-o", str(tmp_path / name)]
        subprocess.run(arguments, check=True, capture_output=True, timeout=300)
    with (tmp_path / "together" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    together, one = load_network(tmp_path / "together" / "model.json", torch.device("cpu"))
    _, other = load_network(tmp_path / "alone" / "model.json", torch.device("cpu"))
    assert together.training["processes"] == 2
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
