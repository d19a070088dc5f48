"""What the compact network's loss asks of examples whose backing nobody split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from conftest import StemMaker
from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.errors import UsageError
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.paper_task import PaperSettings, PaperTask
from stemsplit.remix import RemixSettings
from stemsplit.unet import UNetSize
from test_dataset import write_folder

SETTINGS = BandSettings(batch_size=2, frames=16, size=UNetSize(widths=(4, 4, 4), dilations=(1,)))
REST = [index for index, source in enumerate(SOURCES) if source != "vocals"]


@pytest.fixture
def tracks(tmp_path: Path, make_stems: StemMaker) -> list[StoredTrack]:
    for seed in range(2):
        write_folder(tmp_path / "data" / f"song {seed}", make_stems(1.0, seed=seed))
    return store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")


def band_task(tracks: list[StoredTrack]) -> BandTask:
    remix = RemixSettings(coherent=1.0, absent=0.0)
    return BandTask(SETTINGS, tracks, [], seed=0, remix=remix)


def test_who_plays_in_an_unsplit_backing_counts_for_nothing(tracks: list[StoredTrack]) -> None:
    """The vocals' error is all that counts, and counts for the rest's, which is the same."""
    backings = [dataclasses.replace(track, backing=True, weight=1e9) for track in tracks]
    task = band_task([*backings, *tracks])
    network = task.first_network()
    features, energy, product, mixture, counts = task.batch(0)
    assert counts.tolist() == [[2.0, 0.0, 0.0, 0.0]] * 2
    loss = task.loss(network, (features, energy, product, mixture, counts))
    for stems in (energy, product):
        stems[:, REST] = stems[:, REST[1:] + REST[:1]]
    assert torch.equal(loss, task.loss(network, (features, energy, product, mixture, counts)))
    split = task.loss(network, (features, energy, product, mixture, torch.ones_like(counts)))
    assert split != loss


def test_split_stems_count_alike(tracks: list[StoredTrack]) -> None:
    assert band_task(tracks).batch(0)[-1].tolist() == [[1.0] * len(SOURCES)] * 2


def test_the_papers_networks_need_every_stem(tracks: list[StoredTrack]) -> None:
    backings = [dataclasses.replace(track, backing=True) for track in tracks]
    with pytest.raises(UsageError, match="backing = true"):
        PaperTask(PaperSettings(), [*backings, *tracks], [], seed=0)
