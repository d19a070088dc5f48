"""What the compact network is taught, and how its validation measures it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.errors import UsageError
from stemsplit.material import StoredTrack, read_stems
from stemsplit.metrics import snr
from stemsplit.models import find_card, load_network
from stemsplit.paper_task import PaperSettings, PaperTask
from stemsplit.remix import Remixer, RemixSettings
from stemsplit.separate import Separator
from stemsplit.unet_size import UNetSize

SETTINGS = BandSettings(batch_size=2, frames=16, size=UNetSize(widths=(4, 4, 4), dilations=(1,)))
REST = [index for index, source in enumerate(SOURCES) if source != "vocals"]


def band_task(tracks: list[StoredTrack], settings: BandSettings = SETTINGS) -> BandTask:
    remix = RemixSettings(coherent=1.0, absent=0.0)
    return BandTask(settings, tracks, [], seed=0, remix=remix)


def test_who_plays_in_an_unsplit_backing_counts_for_nothing(stored: list[StoredTrack]) -> None:
    """The vocals' error is all that counts, and counts for the rest's, which is the same."""
    backings = [dataclasses.replace(track, backing=True, weight=1e9) for track in stored]
    task = band_task([*backings, *stored])
    network = task.first_network()
    features, energy, product, mixture, counts = task.batch(0)
    assert counts.tolist() == [[2.0, 0.0, 0.0, 0.0]] * 2
    loss = task.loss(network, (features, energy, product, mixture, counts))
    for stems in (energy, product):
        stems[:, REST] = stems[:, REST[1:] + REST[:1]]
    assert torch.equal(loss, task.loss(network, (features, energy, product, mixture, counts)))
    split = task.loss(network, (features, energy, product, mixture, torch.ones_like(counts)))
    assert split != loss


def test_split_stems_count_alike(stored: list[StoredTrack]) -> None:
    assert band_task(stored).batch(0)[-1].tolist() == [[1.0] * len(SOURCES)] * 2


def test_a_stem_counts_as_often_as_its_weight_says(stored: list[StoredTrack]) -> None:
    weights = (1.0, 1.0, 0.0, 2.5)
    task = band_task(stored, dataclasses.replace(SETTINGS, stem_weights=weights))
    assert task.batch(0)[-1].tolist() == [list(weights)] * 2
    for bad in ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0, -0.5)):
        with pytest.raises(UsageError, match="bad stem_weights"):
            dataclasses.replace(SETTINGS, stem_weights=bad)


def estimates_of(task: BandTask, masks: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Separate an example by torch, in float64: (stems, 2, samples)."""
    settings = task.settings
    gains = torch.from_numpy(settings.bands.to_bins(masks.detach().numpy())).double()
    spectra = (gains * mixture.to(torch.complex128)).flatten(0, 1).transpose(1, 2)
    window = torch.hann_window(settings.n_fft, dtype=torch.float64)
    samples = (settings.frames - 1) * settings.hop_length
    return torch.istft(
        spectra, settings.n_fft, settings.hop_length, window=window, length=samples
    ).view(len(masks), 2, samples)


def test_the_ratio_of_samples_is_that_of_the_estimates(stored: list[StoredTrack]) -> None:
    """By itself, as the share of magnitudes is the same; equal to what separating would leave."""
    task = band_task(stored, dataclasses.replace(SETTINGS, waveform=True, ratio_weight=1.0))
    network = task.first_network().eval()
    batch = task.batch(0)
    for part, same in zip(batch[:5], band_task(stored).batch(0), strict=True):
        assert torch.equal(part, same)
    loss = task.loss(network, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in network.parameters())

    share = band_task(stored, dataclasses.replace(SETTINGS, ratio_weight=0.0)).loss(
        network, batch[:5]
    )
    wanted = []
    for masks, mixture, stems in zip(network.masks(batch[0]), *batch[5:], strict=True):
        floor = 0.01 * stems.sum(dim=0).square().sum()  # of the mixture's energy
        errors = (estimates_of(task, masks, mixture) - stems).square().sum((1, 2))
        wanted.append(((errors + floor) / (stems.square().sum((1, 2)) + floor)).log().mean())
    # Logarithms of sums of some ten thousand float32 squares, taken in another order.
    got = (loss - share).item()
    assert got == pytest.approx(torch.stack(wanted).mean().item(), abs=1e-4)


def test_the_share_of_spectra_is_that_of_the_estimates(stored: list[StoredTrack]) -> None:
    """By itself, as the ratio of samples counts nothing here."""
    sizes = (256, 2048)
    settings = dataclasses.replace(SETTINGS, waveform=True, ratio_weight=0.0, resolutions=sizes)
    task = band_task(stored, settings)
    network = task.first_network().eval()
    batch = task.batch(0)
    loss = task.loss(network, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in network.parameters())
    assert any(weight.grad.any() for weight in network.parameters())

    def magnitude(signals: torch.Tensor, size: int) -> torch.Tensor:
        window = torch.hann_window(size, dtype=torch.float64)
        signals = torch.nn.functional.pad(signals, (size // 2, size // 2)).flatten(0, -2)
        frames = signals.unfold(1, size, size // 4)
        magnitudes = torch.fft.rfft(frames * window).abs() * 4 / size  # 1 of a full-scale sine
        return (magnitudes + 3e-4).sum()

    wanted = []
    for masks, mixture, stems in zip(network.masks(batch[0]), *batch[5:], strict=True):
        errors = estimates_of(task, masks, mixture) - stems
        whole = stems.double().sum(dim=0)
        wanted += [magnitude(errors, size) / magnitude(whole, size) for size in sizes]
    # Sums of some hundred thousand float32 magnitudes, and masks of float32. Four stems' shares
    # are summed, those of examples and resolutions averaged.
    assert loss.item() == pytest.approx(torch.stack(wanted).mean().item(), rel=1e-4)


def test_compressed_magnitudes_count_whatever_their_phase(stored: list[StoredTrack]) -> None:
    settings = dataclasses.replace(SETTINGS, ratio_weight=0.0)
    plain = band_task(stored, settings)
    task = band_task(stored, dataclasses.replace(settings, compressed_weight=2.0))
    network, batch = plain.first_network().eval(), plain.batch(0)
    got = task.loss(network, batch) - plain.loss(network, batch)
    features, energy, _, mixture, _ = (part.double() for part in batch)
    masks = network.masks(features.float()).detach().double()
    # A millionth of the loudest, whose fourth root is 0.03, is where silence begins.
    stem, whole = (energy + 1e-7) ** 0.25, (mixture + 1e-7) ** 0.25
    estimate = (masks**2 * mixture[:, None] + 1e-7) ** 0.25
    shares = (estimate - stem).abs().sum((1, 2, 3, 4)) / whole.sum((1, 2, 3))
    assert got.item() == pytest.approx(2 * shares.mean().item(), rel=1e-4)  # float32's sums
    energy = batch[1]
    energy.copy_(torch.from_numpy(np.square(masks.numpy()).astype(np.float32)) * batch[3][:, None])
    right = task.loss(network, batch) - plain.loss(network, batch)
    assert right.item() == pytest.approx(0, abs=1e-5)


def test_resolutions_are_of_samples_and_of_a_length() -> None:
    with pytest.raises(UsageError, match="resolutions without waveform"):
        dataclasses.replace(SETTINGS, resolutions=(512,))
    for bad in (2, 2 * 15 * 1024 + 2):
        with pytest.raises(UsageError, match="bad resolutions"):
            dataclasses.replace(SETTINGS, waveform=True, resolutions=(512, bad))


def test_validation_measures_what_separating_leaves(stored: list[StoredTrack]) -> None:
    separator = Separator("tiny", "cpu", threads=1, precision="float32")
    card, network = load_network(find_card("tiny"), torch.device("cpu"))
    size = UNetSize.named(card.training["network"]["size"])
    settings = BandSettings(batch_size=1, size=size)
    validation = BandTask(settings, stored, stored, seed=0).validate(network)
    ratios = []
    for stems in map(read_stems, stored):
        separation = separator.separate(stems.sum(axis=0), card.sample_rate)
        pairs = zip(SOURCES, stems, strict=True)
        ratios.append([snr(stem, separation.stems[source]) for source, stem in pairs])
    wanted = dict(zip(SOURCES, np.mean(ratios, axis=0), strict=True))
    assert validation is not None
    # To the rounding of the network's arithmetic, which depends on how many frames it sees.
    assert validation.figures["sdr"] == pytest.approx(wanted, abs=1e-3)
    assert validation.loss == pytest.approx(-np.mean(list(wanted.values())), abs=1e-3)


def test_the_papers_networks_need_every_stem(stored: list[StoredTrack]) -> None:
    backings = [dataclasses.replace(track, backing=True) for track in stored]
    with pytest.raises(UsageError, match="backing = true"):
        PaperTask(PaperSettings(), [*backings, *stored], [], seed=0)


@pytest.mark.parametrize(
    "compared", [{}, {"waveform": True}, {"waveform": True, "resolutions": (512, 2048)}]
)
def test_nothing_is_learnt_above_where_a_recording_ends(
    stored: list[StoredTrack], compared: dict[str, Any]
) -> None:
    """Whatever the masks are there; below, and in songs of all the band, they count."""
    settings = dataclasses.replace(SETTINGS, **compared, batch_size=3)
    limited = [dataclasses.replace(track, highest_hz=8000.0, weight=1e9) for track in stored[:2]]
    task = band_task([*limited, stored[2]], settings)
    batch = task.batch(0)
    heard = batch[5]
    ends_hz = settings.bands.edges[1:] * 44_100 / 4096
    wanted = torch.from_numpy(ends_hz <= 8000).float()
    assert torch.equal(heard, wanted.expand(3, -1))
    assert 0 < float(wanted.mean()) < 1
    network = Masks(torch.rand(3, 4, 2, 16, 384, generator=torch.Generator().manual_seed(0)))
    network.given.requires_grad_()
    task.loss(network, batch).backward()  # type: ignore[no-untyped-call]
    assert network.given.grad is not None
    reached = network.given.grad.abs().amax((0, 1, 2, 3)) > 0
    assert torch.equal(reached, wanted > 0)
    whole = band_task(stored, settings)
    network.given.grad = None
    whole.loss(network, whole.batch(0)).backward()  # type: ignore[no-untyped-call]
    assert bool((network.given.grad.abs().amax((0, 1, 2, 3)) > 0).all())


class Masks(torch.nn.Module):
    """Stands for a network: the same masks whatever it sees."""

    def __init__(self, given: torch.Tensor) -> None:
        super().__init__()
        self.given = given

    def masks(self, _features: torch.Tensor) -> torch.Tensor:
        return self.given


def test_where_recordings_do_not_end_the_loss_is_the_same(stored: list[StoredTrack]) -> None:
    """Beside others that do, which are never drawn here."""
    settings = dataclasses.replace(SETTINGS, waveform=True, resolutions=(512, 2048))
    ending = dataclasses.replace(stored[0], highest_hz=8000.0, weight=1e-12, coherent=False)
    losses = []
    for task in (band_task(stored, settings), band_task([*stored, ending], settings)):
        network = task.first_network().eval()
        losses.append(task.loss(network, task.batch(1)))
    assert torch.equal(*losses)


def test_a_recordings_end_moves_with_its_speed(stored: list[StoredTrack]) -> None:
    tracks = [dataclasses.replace(track, highest_hz=8000.0) for track in stored]
    drawn = Remixer(tracks, 4096, RemixSettings(varispeed=0.3)).drawn((1,))
    parts = [part for parts in drawn.stems for part in parts]
    assert all(part.highest_hz == 8000 * part.speed for part in parts)
    assert drawn.highest_hz == min(part.highest_hz for part in parts)
    assert drawn.highest_hz != 8000


def test_the_papers_networks_need_the_whole_band(stored: list[StoredTrack]) -> None:
    limited = [dataclasses.replace(track, highest_hz=8000.0) for track in stored]
    with pytest.raises(UsageError, match="need every bin"):
        PaperTask(PaperSettings(), limited, [], seed=0)
