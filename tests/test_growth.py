"""Growth: a larger network that answers as the smaller one inside it, and learns beyond it."""

from __future__ import annotations

import dataclasses
import runpy
import sys
from pathlib import Path

import pytest
import torch

from stemsplit.cards import read_card
from stemsplit.growth import embed, reopened
from stemsplit.models import find_card, load_network, save_model
from stemsplit.unet import BandUNet
from stemsplit.unet_size import FEATURES, UNetSize
from test_unet import AGAIN, SMALL, random_network

LARGER = UNetSize(bands=32, widths=(8, 12, 16), squeeze=(4, 6, 8), dilations=(1, 2))


def test_a_larger_network_answers_as_the_one_inside() -> None:
    small = random_network()
    large = random_network(LARGER)
    embed(large, small.state_dict())
    x = torch.rand(2, 40, FEATURES, 32)
    with torch.inference_mode():
        # Only zeros are added: the difference is the order of float32 sums.
        assert (large.masks(x) - small.masks(x)).abs().max() < 1e-6


@AGAIN
def test_a_second_round_repeats_the_first_at_the_beginning(size: UNetSize, entrance: str) -> None:
    once, twice = random_network(), BandUNet(4, size).eval()
    embed(twice, once.state_dict())
    x = torch.rand(2, 40, FEATURES, 32)
    with torch.inference_mode():
        assert torch.equal(twice.masks(x), once.masks(x))
    with pytest.raises(RuntimeError, match=f"another kind of network: {entrance}"):
        embed(BandUNet(4, SMALL), twice.state_dict())
    with pytest.raises(RuntimeError, match=f"another kind of network: {entrance}"):
        embed(random_network(size), once.state_dict())


@AGAIN
def test_a_third_round_keeps_what_the_second_learnt(size: UNetSize, entrance: str) -> None:
    more = {
        name: getattr(size, name) + 1
        for name in ("rounds", "inner_rounds", "middle_rounds")
        if getattr(size, name) > 1
    }
    twice, thrice = random_network(size), BandUNet(4, dataclasses.replace(size, **more)).eval()
    embed(thrice, twice.state_dict())
    x = torch.rand(2, 40, FEATURES, 32)
    with torch.inference_mode():
        assert torch.equal(thrice.masks(x), twice.masks(x))
    with pytest.raises(RuntimeError, match=f"another kind of network: {entrance}"):
        embed(random_network(size), thrice.state_dict())


def test_new_channels_learn() -> None:
    small, large = random_network(), random_network(LARGER)
    embed(large, small.state_dict())
    large.train()
    large.masks(torch.rand(2, 40, FEATURES, 32)).square().sum().backward()
    gradient = large.middle[0].conv[0].weight.grad
    assert gradient is not None
    assert gradient[:8, 8:].abs().max() > 0


def test_the_same_size_is_copied() -> None:
    one, other = random_network(), BandUNet(4, SMALL)
    embed(other, one.state_dict())
    for name, weights in other.state_dict().items():
        assert torch.equal(weights, one.state_dict()[name]), name


def test_a_smaller_or_other_network_is_refused() -> None:
    large = random_network(LARGER)
    with pytest.raises(RuntimeError, match="should be at most"):
        embed(BandUNet(4, SMALL), large.state_dict())
    with pytest.raises(RuntimeError, match="another kind"):
        embed(large, {"weight": torch.zeros(1)})
    flat = {name: weights.flatten() for name, weights in large.state_dict().items()}
    with pytest.raises(RuntimeError, match="should be at most"):
        embed(large, flat)


def saved(size: UNetSize, card_path: Path) -> Path:
    """Save a random network of a size, with a card that fits it."""
    network = random_network(size)
    card = dataclasses.replace(
        read_card(find_card("tiny")),
        context_frames=size.context_frames,
        parameters=sum(weight.numel() for weight in network.parameters()),
        training={"network": {"size": dataclasses.asdict(size)}},
    )
    save_model(network, card, card_path)
    return card_path


def run_script(name: str, *arguments: str | Path) -> None:
    """Run one of recipes/ as a program, in this process, which has torch already."""
    script = Path(__file__).parent.parent / "recipes" / name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")


def test_averaged_weights_lie_between_a_smaller_network_and_a_larger(tmp_path: Path) -> None:
    smaller = UNetSize(widths=(8, 8, 8), squeeze=(4, 4, 4))
    larger = UNetSize(widths=(8, 12, 16), squeeze=(4, 6, 8), rounds=2)
    earlier = saved(smaller, tmp_path / "earlier.json")
    later = saved(larger, tmp_path / "later.json")
    for share in ("0", "0.75"):
        options = ["--share", share, "-o", tmp_path / "a.json"]
        run_script("average_models.py", earlier, later, *options)
        card = read_card(tmp_path / "a.json")
        assert card.training["averaged"]["share"] == float(share)
        states = [
            load_network(path, torch.device("cpu"), read_card(path).sha256)[1].state_dict()
            for path in (earlier, later, tmp_path / "a.json")
        ]
        small, large, got = (state["middle.0.conv.0.weight"] for state in states)
        inside = tuple(slice(size) for size in small.shape)
        wanted = torch.lerp(small, large[inside], float(share))
        torch.testing.assert_close(got[inside], wanted)


def test_a_smaller_network_is_grown_as_the_later_training_grew_it(tmp_path: Path) -> None:
    """So that the average of a training of no steps with what it began from is that itself."""
    smaller = UNetSize(widths=(8, 8, 8), squeeze=(4, 4, 4))
    larger = UNetSize(widths=(8, 12, 16), squeeze=(4, 6, 8))
    earlier = saved(smaller, tmp_path / "earlier.json")
    _, small = reopened(earlier, vouched=True)
    torch.manual_seed(5)
    grown = BandUNet(4, larger)
    embed(grown, small.state_dict())
    card = dataclasses.replace(
        read_card(earlier),
        parameters=sum(weight.numel() for weight in grown.parameters()),
        training={"network": {"size": dataclasses.asdict(larger)}, "training": {"seed": 5}},
    )
    later, average = tmp_path / "later.json", tmp_path / "a.json"
    save_model(grown.eval(), card, later)
    run_script("average_models.py", earlier, later, "--share", "0.5", "-o", average)
    _, got = reopened(average, vouched=True)
    for name, value in grown.state_dict().items():
        assert torch.equal(got.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("which", "entrance"),
    [("rounds", "again"), ("inner_rounds", "inner_again"), ("middle_rounds", "middle_again")],
)
def test_a_network_without_its_first_rounds_answers_as_if_nothing_were_taken_from_them(
    which: str, entrance: str, tmp_path: Path
) -> None:
    rounds = {"rounds": 2, "inner_rounds": 2, "middle_rounds": 2, which: 4}
    shallow = UNetSize(widths=(8, 8, 8), squeeze=(4, 4, 4), dilations=(1, 2))
    size = dataclasses.replace(shallow, **rounds)
    before, after = saved(size, tmp_path / "four.json"), tmp_path / "two.json"
    option = f"--{which.replace('_', '-')}"
    run_script("fewer_rounds.py", before, option, "2", "-o", after)
    four, two = (
        load_network(path, torch.device("cpu"), read_card(path).sha256)[1]
        for path in (before, after)
    )
    state = four.state_dict()
    state[f"{entrance}.0.weight"].zero_()
    state[f"{entrance}.1.weight"].zero_()
    card = read_card(after)
    wide = size.context_frames - card.context_frames  # what two rounds need less at each side
    x = torch.rand(1, 2 * size.context_frames + 8, FEATURES, size.bands)
    with torch.inference_mode():
        # The same sums in float32, but for rounds that add zero.
        torch.testing.assert_close(two(x[:, wide:-wide]), four(x), atol=1e-6, rtol=0)
    assert card.training["shortened"] == {"from": read_card(before).sha256, which: 4}
    assert card.training["network"]["size"][which] == 2
    assert wide > 0
