"""What a training refuses before it begins, and what it ends for without losing what it has."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from conftest import StemMaker, file_limit
from small_training import make_training, small_recipe, write_collection
from stemsplit.checkpoints import BEST, CHECKPOINT
from stemsplit.dataset import find_tracks
from stemsplit.errors import InputError, NoSpaceError, StemsplitError, UsageError
from stemsplit.loop_settings import LoopSettings
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.recipe import DataSource, Recipe, changed, check_start, settings_of, training_of
from stemsplit.recipe_data import stored
from stemsplit.training import TrainingEvent, Validation


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory, make_stems: StemMaker) -> list[StoredTrack]:
    folder = write_collection(tmp_path_factory.mktemp("collection"), make_stems)
    return store_tracks(find_tracks(folder), tmp_path_factory.mktemp("store"))


def test_a_training_that_diverges_ends_with_the_reason(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    recipe = small_recipe("band-unet", steps=50, learning_rate=1e20)
    training = make_training(tracks, tmp_path, recipe)
    with pytest.raises(StemsplitError, match=r"diverged at step \d+: got a loss of \w+; begin"):
        training.run()
    unsound = make_training(tracks, tmp_path / "valid", small_recipe("band-unet"))
    unsound.task.validate = lambda _: Validation(float("nan"), {})  # type: ignore[method-assign]
    with pytest.raises(StemsplitError, match="diverged at step 2: got a loss of nan"):
        unsound.run()
    assert not (tmp_path / "valid" / CHECKPOINT).exists()


def test_weights_that_are_no_numbers_replace_none(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    """A gradient may be infinite where the loss is not; nothing validates these trainings."""
    recipe = small_recipe("band-unet", validate_every=1)
    training = training_of(recipe, tracks[:2], [], tmp_path)
    loss, steps = training.task.loss, iter(range(9))

    def overflowing(network: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        value = loss(network, batch)
        return value if next(steps) < 2 else value + 0 * torch.sqrt(value - value.detach())

    training.task.loss = overflowing  # type: ignore[method-assign]
    with pytest.raises(StemsplitError, match="diverged at step 3: got a gradient of nan"):
        training.run()
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["step"] == 2
    assert all(value.isfinite().all() for value in kept["network"].values())


def test_a_checkpoint_that_has_no_room_leaves_the_one_before(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    training = make_training(tracks, tmp_path, small_recipe("band-unet", steps=2, validate_every=1))
    before: list[bytes] = []

    def fill(event: TrainingEvent) -> None:
        if event.step == 2:
            before.append((tmp_path / CHECKPOINT).read_bytes())
            stack.enter_context(file_limit(1000))

    refused = pytest.raises(NoSpaceError, match=r"cannot write .*(best|checkpoint)\.pt")
    with refused, ExitStack() as stack:
        training.run(fill)
    assert (tmp_path / CHECKPOINT).read_bytes() == before[0]
    assert not list(tmp_path.glob("*.tmp"))


def test_what_a_kill_left_is_removed(tracks: list[StoredTrack], tmp_path: Path) -> None:
    recipe = small_recipe("band-unet", steps=2)
    make_training(tracks, tmp_path, recipe).run()
    (tmp_path / f".{CHECKPOINT}.4711.tmp").write_text("half of it")
    make_training(tracks, tmp_path, recipe, resume=True)
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("band-unet", "network.magnitude_power=9"),
        ("band-unet", "network.hop_length=16"),
        ("paper", "network.magnitude_power=0"),
    ],
)
def test_settings_that_no_card_may_have_are_refused_before_the_training(
    tracks: list[StoredTrack], tmp_path: Path, architecture: str, change: str
) -> None:
    recipe = changed(small_recipe(architecture), [change])
    with pytest.raises(UsageError, match="settings that no model may have"):
        make_training(tracks, tmp_path, recipe)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("network.hop_length=128", "another hop_length: got 256, wanted 128"),
        ("network.magnitude_power=0.4", "another magnitude_power: got 0.5, wanted 0.4"),
        ("network.size.dilations=[2]", "another dilations"),
        ("network.size.bands=64", "another bands: got 32, wanted 64"),
    ],
)
def test_weights_for_another_spectrogram_are_no_start(
    tracks: list[StoredTrack], tmp_path: Path, change: str, named: str
) -> None:
    recipe = small_recipe("band-unet", steps=1)
    make_training(tracks, tmp_path / "run", recipe).run()
    check_start(recipe, tmp_path / "run")
    with pytest.raises(InputError, match=f"cannot begin from .*run, which has {named}"):
        check_start(changed(recipe, [change]), tmp_path / "run")


def test_a_run_without_its_best_weights_is_not_resumed(
    tracks: list[StoredTrack], tmp_path: Path
) -> None:
    make_training(tracks, tmp_path, small_recipe("band-unet", steps=2)).run()
    (tmp_path / BEST).write_bytes(b"half of it")
    with pytest.raises(InputError, match=f"cannot read .*{BEST}"):
        make_training(tracks, tmp_path, small_recipe("band-unet", steps=2), resume=True)
    (tmp_path / BEST).unlink()
    with pytest.raises(InputError, match=f"nothing to resume in .*: wanted a {BEST} too"):
        make_training(tracks, tmp_path, small_recipe("band-unet", steps=2), resume=True)


def test_a_song_stands_on_a_side_once(tmp_path: Path, make_stems: StemMaker) -> None:
    folder = write_collection(tmp_path, make_stems)
    once, twice = DataSource(str(folder / "train")), DataSource(str(folder / "train" / "song 1"))
    refused = pytest.raises(UsageError, match=r"songs stand in training twice: got .*song 1; name")
    with refused:
        stored(Recipe(data=(once, twice)), [], tmp_path / "store", lambda *_: None)
    held = [folder / "valid", folder / "valid"]
    with pytest.raises(UsageError, match="songs stand in validation twice"):
        stored(Recipe(data=(once,)), held, tmp_path / "store", lambda *_: None)


def test_backings_are_refused_before_songs_are_decoded() -> None:
    recipe = dataclasses.replace(small_recipe("paper"), data=(DataSource("x", backing=True),))
    with pytest.raises(UsageError, match="the paper's networks need every stem"):
        settings_of(recipe)


def test_silence_judges_no_training(tracks: list[StoredTrack], tmp_path: Path) -> None:
    silent = dataclasses.replace(tracks[2], stems={})
    with pytest.raises(InputError, match="all validation songs are silent"):
        training_of(small_recipe("band-unet"), tracks[:2], [silent], tmp_path)


def test_tracks_of_another_rate_are_refused(tracks: list[StoredTrack], tmp_path: Path) -> None:
    recipe = changed(small_recipe("band-unet"), ["network.sample_rate=22050"])
    with pytest.raises(InputError, match="44100 Hz, wanted 22050 Hz"):
        make_training(tracks, tmp_path, recipe)


@pytest.mark.parametrize("change", ["n_fft=1020", "n_fft=3000", "hop_length=0", "dropout=3.0"])
def test_settings_that_the_paper_s_network_cannot_have(change: str) -> None:
    with pytest.raises(UsageError, match=f"bad {change.partition('=')[0]}"):
        settings_of(changed(small_recipe("paper"), [f"network.{change}"]))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="steps"):
        LoopSettings(steps=0)
    with pytest.raises(UsageError, match="precision"):
        LoopSettings(precision="int8")
    for name in ("learning_rate", "weight_decay", "warmup", "patience"):
        with pytest.raises(UsageError, match=f"bad {name}: got -1, wanted a number from 0"):
            LoopSettings(**{name: -1})
    with pytest.raises(UsageError, match="bad learning_rate: got nan"):
        LoopSettings(learning_rate=float("nan"))
