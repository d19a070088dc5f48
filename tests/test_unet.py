"""The compact network: its size, its masks, and how far it sees."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from stemsplit.errors import UsageError
from stemsplit.models import quiet_torchscript
from stemsplit.unet import BandUNet
from stemsplit.unet_size import FEATURES, UNetSize

SMALL = UNetSize(bands=32, widths=(8, 8, 8), squeeze=(4, 4, 4), dilations=(1, 2))
TWICE = dataclasses.replace(SMALL, rounds=2)
MIDDLE_TWICE = dataclasses.replace(SMALL, middle_rounds=2)
INNER_TWICE = dataclasses.replace(SMALL, inner_rounds=2)
BOTH = dataclasses.replace(SMALL, rounds=2, middle_rounds=2)
ALL = dataclasses.replace(SMALL, rounds=2, inner_rounds=3, middle_rounds=2)
DEEPER = dataclasses.replace(ALL, widths=(8, 8, 8, 8), squeeze=(4, 4, 4, 4), blocks=2)
FLAT = dataclasses.replace(ALL, widths=(8,), squeeze=(4,))
SHALLOW = {
    "once": SMALL,
    "twice": TWICE,
    "inner twice": INNER_TWICE,
    "middle twice": MIDDLE_TWICE,
    "both": BOTH,
}
EVERY = {**SHALLOW, "all": ALL, "four levels": DEEPER, "one level": FLAT}
SIZES = pytest.mark.parametrize("size", EVERY.values(), ids=EVERY)
# Through more layers the farthest frame is too faint even for float64.
SHALLOW_SIZES = pytest.mark.parametrize("size", SHALLOW.values(), ids=SHALLOW)
AGAIN = pytest.mark.parametrize(
    ("size", "entrance"),
    [(TWICE, "again"), (INNER_TWICE, "inner_again"), (MIDDLE_TWICE, "middle_again")],
    ids=["twice", "inner twice", "middle twice"],
)


def random_network(size: UNetSize = SMALL) -> BandUNet:
    torch.manual_seed(0)
    network = BandUNet(4, size)
    with torch.no_grad():
        for again in (*network.again, *network.inner_again, *network.middle_again):
            torch.nn.init.normal_(again.weight, std=0.2)
        network.train()
        for _ in range(3):  # statistics of something
            network.masks(torch.rand(2, 40, FEATURES, size.bands))
    return network.eval()


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_default_size_spends_no_more_than_one_source_of_the_paper(rounds: int) -> None:
    network = BandUNet(4, UNetSize(rounds=rounds))
    assert sum(weight.numel() for weight in network.parameters()) <= 323_233


def test_masks_sum_to_1() -> None:
    network = random_network()
    context = SMALL.context_frames
    with torch.inference_mode():
        masks = network(torch.rand(3, 2 * context + 12, FEATURES, 32))
    assert masks.shape == (3, 4, 2, 12, 32)
    # A softmax of four float32 values.
    assert (masks.sum(1) - 1).abs().max() < 1e-6


@SIZES
@pytest.mark.parametrize("strides", [0, 1, 5])
def test_masks_depend_on_the_context_and_no_more(strides: int, size: UNetSize) -> None:
    """A piece with its context gives what the whole gives there: float32 in another order."""
    network, context, start = random_network(size), size.context_frames, strides * size.time_stride
    seen = torch.rand(1, 2 * context + 10 * size.time_stride, FEATURES, 32)
    with torch.inference_mode():
        whole = network(seen)
        piece = network(seen[:, start : start + 2 * context + 8])
    assert (whole[..., start : start + 8, :] - piece).abs().max() < 1e-5


@SIZES
@pytest.mark.parametrize(
    ("strides", "scripted", "length"), [(1, False, 1), (1, False, 40), (3, True, 1), (3, True, 40)]
)
def test_a_song_in_pieces_is_as_the_whole(
    size: UNetSize, strides: int, scripted: bool, length: int
) -> None:
    """Piece by piece, each shorter than what a mask depends on: float32 in another order."""
    network: Any = random_network(size)
    context, frames = size.context_frames, length * size.time_stride
    song = torch.rand(2, frames, FEATURES, 32)
    with torch.inference_mode(), quiet_torchscript():
        whole = network.masks(song)
        if scripted:
            network = torch.jit.freeze(torch.jit.script(network), ["advance", "rest"])
        carried, pieces, first = network.rest(2), [], 0
        for piece in nn.functional.pad(song, (0, 0, 0, 0, 0, context)).split(
            strides * size.time_stride, dim=1
        ):
            before = [kept.clone() for kept in carried]
            end = frames if first + piece.shape[1] >= frames else 1 << 40
            masks, after = network.advance(piece, carried, first, end)
            # What was carried stays, so that a piece that failed can be tried again.
            assert all(map(torch.equal, before, carried))
            pieces.append(masks)
            carried, first = after, first + piece.shape[1]
    got = torch.cat(pieces, dim=3)[:, :, :, context:]
    assert got.shape == whole.shape
    assert (got - whole).abs().max() < 1e-5


@SHALLOW_SIZES
def test_the_context_is_not_much_too_large(size: UNetSize) -> None:
    # The farthest frame is hardly heard: float64, and logits, which no softmax rounds.
    network, double = random_network(size).double(), torch.float64
    context = size.context_frames
    seen = torch.rand(1, 2 * context + 4, FEATURES, 32, dtype=double).permute(0, 2, 3, 1)
    with torch.inference_mode():
        before = network.logits(seen, [], [])[..., context]
        seen[..., size.time_stride] += 1e6
        assert not torch.equal(before, network.logits(seen, [], [])[..., context])


@SIZES
def test_torchscript_gives_the_same(size: UNetSize) -> None:
    network = random_network(size)
    seen = torch.rand(1, 2 * size.context_frames + 8, FEATURES, 32)
    with torch.inference_mode(), quiet_torchscript():
        scripted = torch.jit.freeze(torch.jit.script(network))
        # Batch normalisation is folded into the convolutions there.
        assert (scripted(seen) - network(seen)).abs().max() < 1e-5


@AGAIN
def test_rounds_share_their_statistics_and_so_keep_them(size: UNetSize, entrance: str) -> None:
    network = BandUNet(4, size).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    network.masks(torch.rand(2, 40, FEATURES, 32)).square().sum().backward()
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name]), name
    gradient = network.get_parameter(f"{entrance}.0.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@AGAIN
def test_a_second_round_costs_only_its_entrance(size: UNetSize, entrance: str) -> None:
    once, twice = (
        sum(weight.numel() for weight in BandUNet(4, each).parameters()) for each in (SMALL, size)
    )
    width = SMALL.widths[("again", "inner_again", "middle_again").index(entrance)]
    assert twice - once == width**2


@pytest.mark.parametrize("name", ["rounds", "inner_rounds", "middle_rounds"])
def test_no_rounds_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"bad {name}: got 0, wanted at least 1"):
        UNetSize(**{name: 0})


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"bands": 380}, "bad bands: got 380, wanted a multiple of 8"),
        ({"widths": (16, 16)}, "bad squeeze: got 3 of them, wanted one for each of 2 widths"),
        ({"widths": ()}, "wanted numbers of at least 1"),
        ({"squeeze": (24, 0, 24)}, "wanted numbers of at least 1"),
        ({"blocks": -1}, "wanted numbers of at least 1"),
    ],
)
def test_a_size_that_no_network_has_is_refused(facts: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        UNetSize(**facts)
