"""What the compact network's loss asks of examples whose backing nobody split."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.errors import UsageError
from stemsplit.material import StoredTrack
from stemsplit.paper_task import PaperSettings, PaperTask
from stemsplit.remix import RemixSettings
from stemsplit.unet import UNetSize

SETTINGS = BandSettings(batch_size=2, frames=16, size=UNetSize(widths=(4, 4, 4), dilations=(1,)))
REST = [index for index, source in enumerate(SOURCES) if source != "vocals"]


def band_task(tracks: list[StoredTrack]) -> BandTask:
    remix = RemixSettings(coherent=1.0, absent=0.0)
    return BandTask(SETTINGS, tracks, [], seed=0, remix=remix)


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


def test_the_papers_networks_need_every_stem(stored: list[StoredTrack]) -> None:
    backings = [dataclasses.replace(track, backing=True) for track in stored]
    with pytest.raises(UsageError, match="backing = true"):
        PaperTask(PaperSettings(), [*backings, *stored], [], seed=0)
