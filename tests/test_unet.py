"""The compact network: its size, its masks, and how far it sees."""

from __future__ import annotations

import pytest
import torch

from stemsplit.models import quiet_torchscript
from stemsplit.unet import FEATURES, BandUNet, UNetSize

SMALL = UNetSize(bands=32, widths=(8, 8, 8), squeeze=(4, 4, 4), dilations=(1, 2))


def random_network(size: UNetSize = SMALL) -> BandUNet:
    torch.manual_seed(0)
    network = BandUNet(4, size)
    with torch.no_grad():
        network.train()
        for _ in range(3):  # statistics of something
            network.masks(torch.rand(2, 40, FEATURES, size.bands))
    return network.eval()


def test_the_default_size_spends_no_more_than_one_source_of_the_paper() -> None:
    network = BandUNet(4, UNetSize())
    assert sum(weight.numel() for weight in network.parameters()) <= 323_233


def test_masks_sum_to_1() -> None:
    network = random_network()
    context = SMALL.context_frames
    with torch.inference_mode():
        masks = network(torch.rand(3, 2 * context + 12, FEATURES, 32))
    assert masks.shape == (3, 4, 2, 12, 32)
    # A softmax of four float32 values.
    assert (masks.sum(1) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("start", [0, 4, 20])
def test_masks_depend_on_the_context_and_no_more(start: int) -> None:
    """A piece with its context gives what the whole gives there: float32 in another order."""
    network = random_network()
    context = SMALL.context_frames
    seen = torch.rand(1, 2 * context + 40, FEATURES, 32)
    with torch.inference_mode():
        whole = network(seen)
        piece = network(seen[:, start : start + 2 * context + 8])
    assert (whole[..., start : start + 8, :] - piece).abs().max() < 1e-5


def test_the_context_is_not_much_too_large() -> None:
    network = random_network()
    context = SMALL.context_frames
    seen = torch.rand(1, 2 * context + 4, FEATURES, 32)
    with torch.inference_mode():
        before = network(seen)
        seen[:, SMALL.time_stride] += 10
        assert not torch.equal(before, network(seen))


def test_torchscript_gives_the_same() -> None:
    network = random_network()
    seen = torch.rand(1, 2 * SMALL.context_frames + 8, FEATURES, 32)
    with torch.inference_mode(), quiet_torchscript():
        scripted = torch.jit.freeze(torch.jit.script(network))
        # Batch normalisation is folded into the convolutions there.
        assert (scripted(seen) - network(seen)).abs().max() < 1e-5
