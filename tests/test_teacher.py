"""Learning from a teacher: the stems it moves the true ones to, and who may teach."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stemsplit.band_task import BandSettings, BandTask
from stemsplit.cards import read_card, write_card
from stemsplit.cli.app import run
from stemsplit.errors import ModelError, UsageError
from stemsplit.material import StoredTrack
from stemsplit.models import find_card
from stemsplit.recipe import DataSource, Recipe, export, teacher_of, training_of
from stemsplit.remix import RemixSettings
from stemsplit.teacher import Teacher
from stemsplit.training import Training, TrainingEvent
from stemsplit.trust import accept
from stemsplit.unet_size import UNetSize
from test_growth import saved

SIZE = UNetSize(widths=(8, 8, 8), squeeze=(4, 4, 4), dilations=(1,))
PUPIL = UNetSize(widths=(4, 4, 4), dilations=(1,))
SETTINGS = BandSettings(batch_size=2, frames=16, size=PUPIL, waveform=True)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    card_path = saved(SIZE, tmp_path / "teacher.json")
    accept(read_card(card_path))
    return card_path


def task_of(tracks: list[StoredTrack], settings: BandSettings, teacher: Teacher | None) -> BandTask:
    return BandTask(settings, tracks, [], seed=0, remix=RemixSettings(), teacher=teacher)


def moved(
    batch: tuple[Tensor, ...], masks: np.ndarray, settings: BandSettings, *, share: float
) -> tuple[Tensor, ...]:
    """Move a batch's stems to what masks cut out, bin by bin and sample by sample, in float64.

    A band's mask holds for all of its bins where energies by band are compared, and is spread over
    them where samples are, as without a teacher.
    """
    features, _, _, mixture, counts, spectra, stems = batch
    bands, n_fft, hop_length = settings.bands, settings.n_fft, settings.hop_length
    window = torch.hann_window(n_fft, dtype=torch.float64)
    cut = torch.from_numpy(bands.to_bins(masks)).double() * spectra[:, None]
    estimates = torch.istft(
        cut.flatten(0, 2).transpose(1, 2), n_fft, hop_length, window=window, length=stems.shape[3]
    ).view_as(stems)
    own = torch.stft(
        stems.double().flatten(0, 2),
        n_fft,
        hop_length,
        window=window,
        return_complex=True,
        pad_mode="reflect",
    )
    own = own.transpose(1, 2).view_as(cut)
    steps = np.repeat(masks, np.diff(bands.edges), axis=-1).astype(np.float64)
    between = (1 - share) * own + share * torch.from_numpy(steps) * spectra[:, None]
    scale = 16 / n_fft**2
    energy = np.add.reduceat(between.abs().square().numpy(), bands.edges[:-1], axis=-1) * scale
    products = (between * spectra[:, None].conj()).real.numpy()
    product = np.add.reduceat(products, bands.edges[:-1], axis=-1) * scale
    samples = (1 - share) * stems + share * estimates
    taught = [torch.from_numpy(part).float() for part in (energy, product)]
    return (features, *taught, mixture, counts, spectra, samples.float())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("waveform", [False, True])
def test_what_is_learnt_lies_between_the_truth_and_the_teacher(
    stored: list[StoredTrack], teacher: Path, share: float, waveform: bool
) -> None:
    settings = dataclasses.replace(SETTINGS, teacher_share=share, waveform=waveform)
    guide = Teacher(teacher, settings)
    plain = task_of(stored, settings, None)
    network = plain.first_network().eval()
    batch = task_of(stored, SETTINGS, None).batch(0)
    wanted = moved(batch, guide.masks(batch[0]).numpy(), settings, share=share)
    parts = len(plain.batch(0))
    got = task_of(stored, settings, guide).loss(network, batch[:parts])
    # Sums of some ten thousand float32 squares, in another order.
    torch.testing.assert_close(got, plain.loss(network, wanted[:parts]), atol=2e-4, rtol=1e-4)


def test_only_the_pupil_learns(stored: list[StoredTrack], teacher: Path) -> None:
    guide = Teacher(teacher, SETTINGS)
    task = task_of(stored, SETTINGS, guide)
    network, batch = task.first_network(), task.batch(0)
    before = guide.masks(batch[0])
    assert not before.requires_grad
    loss = task.loss(network, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in network.parameters())
    assert torch.equal(guide.masks(batch[0]), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 512}, "another hop_length: got 1024, wanted 512"),
        ({"single_bands": 200}, "another single_bands"),
        ({"magnitude_power": 0.3}, "another magnitude_power"),
        ({"size": UNetSize(bands=256)}, "another bands"),
        ({"size": UNetSize(widths=(4, 4), squeeze=(4, 4)), "frames": 18}, "bad frames for the te"),
    ],
)
def test_a_teacher_has_to_answer_what_is_asked(
    teacher: Path, changes: dict[str, object], message: str
) -> None:
    settings: BandSettings = dataclasses.replace(SETTINGS, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        Teacher(teacher, settings)


def test_the_papers_network_teaches_nobody_and_has_no_teacher(teacher: Path) -> None:
    with pytest.raises(UsageError, match="another architecture"):
        Teacher(find_card("paper"), SETTINGS)
    with pytest.raises(UsageError, match="learns from no teacher"):
        teacher_of(Recipe("paper"), teacher)


def test_a_share_is_one() -> None:
    with pytest.raises(UsageError, match="bad teacher_share"):
        dataclasses.replace(SETTINGS, teacher_share=1.5)


def test_a_teacher_whose_size_nobody_knows_is_refused(teacher: Path) -> None:
    for training in ({}, {"network": {"size": {"depth": 3}}}, {"network": {"size": {}}}):
        write_card(dataclasses.replace(read_card(teacher), training=training), teacher)
        with pytest.raises(ModelError, match="does not tell its network's size"):
            Teacher(teacher, SETTINGS)


def test_a_training_with_a_teacher_resumes_and_its_card_names_it(
    stored: list[StoredTrack], teacher: Path, tmp_path: Path
) -> None:
    learnt = [{"name": "its songs", "licence": "that of them"}]
    known = dataclasses.replace(read_card(teacher), data=learnt, licence="theirs")
    write_card(known, teacher)
    recipe = Recipe(
        data=(DataSource("in/noise", licence="CC0"),),
        training={"steps": 3, "warmup": 1, "validate_every": 1},
        network={"batch_size": 1, "frames": 8, "size": dataclasses.asdict(PUPIL)},
    )

    def training(name: str, *, resume: bool = False, guided: bool = True) -> Training:
        guide = teacher_of(recipe, teacher) if guided else None
        return training_of(recipe, stored, [], tmp_path / name, teacher=guide, resume=resume)

    def stop(event: TrainingEvent) -> None:
        if event.step == 3:  # one step past the checkpoint: that step is lost
            raise KeyboardInterrupt

    whole = training("whole").run()
    with pytest.raises(KeyboardInterrupt):
        training("stopped").run(stop)
    with pytest.raises(UsageError, match="made with other settings"):
        training("stopped", resume=True, guided=False)
    resumed = training("stopped", resume=True)
    assert resumed.step == 2
    again = resumed.run()
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    alone = training("alone", guided=False)
    pairs = zip(whole.parameters(), alone.run().parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)
    assert "teacher_share" not in alone.facts["network"]
    card = export(resumed, recipe, again, tmp_path / "pupil.json")
    named = {"name": known.name, "sha256": known.sha256, "licence": "theirs"}
    assert card.training["teacher"] == named
    assert [entry["name"] for entry in card.data] == ["noise", "its songs"]


def test_an_unknown_teacher_is_refused_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(tmp_path), "-o", str(tmp_path / "run"), "--teacher", "nobody"]
    assert run(arguments) == ModelError.exit_code
    assert "unknown model: got nobody" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
