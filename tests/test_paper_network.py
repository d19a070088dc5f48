"""The paper's network: its size, and the dense form against the sliding window."""

from __future__ import annotations

import pytest
import torch

from stemsplit import paper_network as network
from stemsplit.paper_network import (
    DensePaperNetwork,
    PaperNetwork,
    join_sources,
    slide,
    split_sources,
)
from stemsplit.paper_training import TrainingPaperNetwork

# Both forms sum the same products in another order, in float32: a logit of a few units with
# relative rounding of 1e-6 moves a sigmoid by less than 1e-6; the bar is the project's own.
TOLERANCE = 1e-5


def random_networks(count: int, seed: int = 0) -> list[PaperNetwork]:
    torch.manual_seed(seed)
    networks = [PaperNetwork().eval() for _ in range(count)]
    with torch.no_grad():
        for net in networks:
            for weight in net.parameters():
                weight.mul_(2)  # spread the probabilities over (0, 1)
    return networks


def test_a_source_has_as_many_parameters_as_published() -> None:
    assert sum(weight.numel() for weight in PaperNetwork().parameters()) == 323_233


def test_layers_are_those_of_the_paper() -> None:
    shapes = {name: tuple(weight.shape) for name, weight in PaperNetwork().named_parameters()}
    assert shapes == {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (16, 32, 3, 3),
        "conv2.bias": (16,),
        "conv3.weight": (64, 16, 3, 3),
        "conv3.bias": (64,),
        "conv4.weight": (16, 64, 3, 3),
        "conv4.bias": (16,),
        "dense1.weight": (128, 16 * 57 * 2),
        "dense1.bias": (128,),
        "dense2.weight": (513, 128),
        "dense2.bias": (513,),
    }


def test_dense_form_holds_the_same_parameters() -> None:
    networks = random_networks(4)
    dense = join_sources(networks)
    assert sum(weight.numel() for weight in dense.parameters()) == 4 * 323_233
    for original, copy in zip(networks, split_sources(dense), strict=True):
        for one, other in zip(original.parameters(), copy.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("frames", [1, 2, 3, 24, 25, 26, 70])
def test_dense_form_equals_sliding_window(frames: int) -> None:
    networks = random_networks(4)
    dense = join_sources(networks).eval()
    magnitudes = torch.rand(frames + 24, network.BINS)
    with torch.inference_mode():
        got = dense(magnitudes[None])[0]
        wanted = torch.stack([slide(net, magnitudes) for net in networks])
    assert got.shape == (4, frames, network.BINS)
    assert wanted.std() > 0.05
    assert (got - wanted).abs().max() < TOLERANCE


def test_dense_form_equals_sliding_window_in_double_precision() -> None:
    networks = [net.double() for net in random_networks(1)]
    dense = join_sources(networks).double().eval()
    magnitudes = torch.rand(40 + 24, network.BINS, dtype=torch.float64)
    with torch.inference_mode():
        difference = dense(magnitudes[None])[0, 0] - slide(networks[0], magnitudes)
    assert difference.abs().max() < 1e-13  # some hundred roundings of 1.1e-16


def test_dense_form_pads_a_song_with_zeros_as_the_sliding_window_does() -> None:
    """A song's first and last frames are windows with zeros beyond its edges."""
    (net,) = random_networks(1)
    dense = join_sources([net]).eval()
    song = torch.rand(5, network.BINS)
    padded = torch.nn.functional.pad(song, (0, 0, 12, 12))
    window = torch.zeros(1, 1, network.BINS, 25)
    window[0, 0, :, 12:17] = song.T
    with torch.inference_mode():
        assert torch.allclose(dense(padded[None])[0, 0, 0], net(window)[0], atol=TOLERANCE, rtol=0)


def test_sources_do_not_touch_each_other() -> None:
    networks = random_networks(2)
    magnitudes = torch.rand(1, 30, network.BINS)
    with torch.inference_mode():
        both = join_sources(networks).eval()(magnitudes)
        alone = join_sources(networks[1:]).eval()(magnitudes)
    assert (both[:, 1] - alone[:, 0]).abs().max() < TOLERANCE


def test_dense_form_differentiates_as_the_sliding_window() -> None:
    networks = [net.double() for net in random_networks(1)]
    dense = join_sources(networks).double().eval()
    magnitudes = torch.rand(6 + 24, network.BINS, dtype=torch.float64)
    dense(magnitudes[None]).square().sum().backward()
    slide(networks[0], magnitudes).square().sum().backward()
    got = dense.conv2.weight.grad
    wanted = networks[0].conv2.weight.grad
    assert got is not None
    assert wanted is not None
    # Sums of some 1e5 float64 products: relative rounding near 1e-13.
    assert (got - wanted).abs().max() < 1e-10 * wanted.abs().max()


def trained_network(trunks: int) -> TrainingPaperNetwork:
    torch.manual_seed(0)
    training = TrainingPaperNetwork(2, trunks)
    for norm in training.norms:
        torch.nn.init.normal_(norm.shift, std=0.1)
    training.train()
    with torch.no_grad():
        for _ in range(3):
            training(torch.rand(2, 30, network.BINS))
    return training.eval()


def test_normalised_layers_answer_with_mean_0_and_variance_1() -> None:
    training = TrainingPaperNetwork(2, 1).train()
    first = training.norms[0]
    outputs = 3 * torch.randn(4, 32, 20, 30) + 2
    first.observe(outputs)
    std, mean = torch.std_mean(first(outputs), (0, 2, 3))
    # Sums of 2400 float32 values; the variance has 1e-5 added to 9.
    assert mean.abs().max() < 1e-4
    assert (std - 1).abs().max() < 1e-3


@pytest.mark.parametrize("trunks", [1, 2])
def test_a_trained_network_folds_into_the_published_one(trunks: int) -> None:
    """The normalisation goes into weights and biases: same numbers, 323,233 parameters."""
    training = trained_network(trunks)
    magnitudes = torch.rand(1, 30, network.BINS)
    with torch.inference_mode():
        wanted = training(magnitudes)
        folded = training.fold().eval()
        assert (folded(magnitudes) - wanted).abs().max() < TOLERANCE
        assert wanted.std() > 0.01  # it does depend on something
    for net in split_sources(folded):
        assert sum(weight.numel() for weight in net.parameters()) == 323_233


def test_parted_sources_compute_what_they_shared() -> None:
    training = trained_network(1)
    magnitudes = torch.rand(1, 30, network.BINS)
    with torch.inference_mode():
        parted = training.part().eval()
        assert (parted(magnitudes) - training(magnitudes)).abs().max() < TOLERANCE


def test_parted_sources_stay_on_their_device() -> None:
    """Those of the averaged weights too, which nothing else moves."""
    parted = trained_network(1).to("meta").part()
    assert {weight.device.type for weight in parted.parameters()} == {"meta"}


def test_dropout_is_for_training_only() -> None:
    dense = DensePaperNetwork(1)
    torch.nn.init.normal_(dense.dense1_weight)
    torch.nn.init.normal_(dense.dense2_weight)
    magnitudes = torch.rand(1, 30, network.BINS)
    with torch.inference_mode():
        assert torch.equal(dense.eval()(magnitudes), dense(magnitudes))
        assert not torch.equal(dense.train()(magnitudes), dense(magnitudes))
