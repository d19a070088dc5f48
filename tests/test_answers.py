"""A network's answers to a song that comes piece by piece, whichever way it sees its context."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from small_model import BINS, Gains, GoingOn, save
from stemsplit.infer import Predictor
from stemsplit.models import read_card

CPU = torch.device("cpu")
ROUNDING = 1e-6  # of float32 from 0 to 1, a few operations
KINDS = pytest.mark.parametrize("kind", [Gains, GoingOn], ids=["context anew", "goes on"])


def predictor(folder: Path, network: nn.Module) -> Predictor:
    card = save(folder, network)
    return Predictor(card, CPU, trusted_sha256=read_card(card).sha256)


@KINDS
@pytest.mark.parametrize("length", [1, 3, 5, 40])
def test_pieces_of_any_length_give_what_the_whole_gives(
    tmp_path: Path, kind: type[nn.Module], length: int
) -> None:
    """Equal but for float32, whose sigmoid depends on where in a vector a number lies."""
    network = predictor(tmp_path, kind())
    seen = np.random.default_rng(0).random((2, 40, BINS)).astype(np.float32)
    song, got = network.begin(7), []
    for start in range(0, 40, length):
        got += song.process(seen[:, start : start + length])
    assert sum(answers.shape[2] for answers in got) == 40 - 2  # the context later
    got += song.finish(seen[:, :0])
    assert max(answers.shape[2] for answers in got) <= 7
    wanted = network.answers(seen)
    assert wanted.shape == (2, 2, 40, BINS)
    assert np.abs(np.concatenate(got, axis=2) - wanted).max() < ROUNDING
    gains = torch.linspace(-1, 1, 2 * BINS).view(-1, BINS).numpy()
    true = 1 / (1 + np.exp(-seen[:, None].astype(np.float64) * gains[:, None]))
    assert np.abs(wanted - true).max() < ROUNDING


@KINDS
def test_songs_side_by_side_do_not_hear_each_other(tmp_path: Path, kind: type[nn.Module]) -> None:
    network = predictor(tmp_path, kind())
    seen = np.random.default_rng(0).random((2, 1, 30, BINS)).astype(np.float32)
    songs = [network.begin(6), network.begin(6)]
    got: list[list[np.ndarray]] = [[], []]
    for start in range(0, 30, 6):
        for song, pieces, frames in zip(songs, got, seen, strict=True):
            pieces += song.process(frames[:, start : start + 6])
    for song, pieces, frames in zip(songs, got, seen, strict=True):
        pieces += song.finish(frames[:, :0])
        assert np.abs(np.concatenate(pieces, axis=2) - network.answers(frames)).max() < ROUNDING


def test_what_goes_on_keeps_little_and_sees_no_context_anew(tmp_path: Path) -> None:
    anew, on = predictor(tmp_path, Gains()), predictor(tmp_path, GoingOn())
    assert (anew.context_again, anew.carried_bytes) == (4, 0)
    assert (on.context_again, on.carried_bytes) == (0, 4 * BINS * 4)
