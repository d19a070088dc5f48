"""Optimizers: what Muon makes of a step, which weights it takes, and that it resumes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stemsplit.optimizers import Muon, optimizers_for, orthogonal
from stemsplit.unet import BandUNet
from stemsplit.unet_size import UNetSize


@pytest.mark.parametrize("shape", [(24, 24), (24, 200), (200, 24)])
def test_an_update_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape) * 1e-3).double())
    # The iteration's own range: its coefficients trade nearness to 1 for speed. Random square
    # matrices have a singular value near none, which five rounds bring up only partly.
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_an_update_keeps_singular_vectors() -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(20, 60), full_matrices=False)
    matrix = left @ torch.diag(torch.linspace(1, 3, 20)) @ right
    inside = left.T @ orthogonal(matrix) @ right.T
    # Rounding of float32, through fifteen products of the iteration.
    assert (inside - torch.diag(inside.diag())).abs().max() < 1e-4


def test_every_weight_has_one_optimizer() -> None:
    network = BandUNet(4, UNetSize(bands=32, widths=(16, 24, 32), squeeze=(16, 8, 8)))
    optimizers = optimizers_for(network, "muon", lr=1e-3, weight_decay=0.0)
    held = [id(w) for o in optimizers for group in o.param_groups for w in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in network.parameters())
    muon = [w.shape for group in optimizers[0].param_groups for w in group["params"]]
    assert torch.Size([16, 16, 3, 3]) in muon
    assert torch.Size([8, 8]) not in muon


def test_small_networks_have_no_matrix_for_muon() -> None:
    network = BandUNet(4, UNetSize(bands=32, widths=(8, 8, 8), squeeze=(8, 8, 8)))
    (only,) = optimizers_for(network, "muon", lr=1e-3, weight_decay=0.0)
    assert isinstance(only, torch.optim.AdamW)


def test_muon_learns_a_linear_map() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(16, 32)
    layer = nn.Linear(32, 16, bias=False)
    optimizer = Muon(layer.parameters(), lr=0.05, weight_decay=0.0)
    x = torch.randn(256, 32)

    def loss() -> torch.Tensor:
        return (layer(x) - x @ wanted.T).square().mean()

    before = loss().item()
    for _ in range(400):
        layer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < before / 50


def test_state_goes_on_to_the_same_bits() -> None:
    def stepped(layer: nn.Linear, optimizer: Muon, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            layer.weight.grad = torch.randn_like(layer.weight)
            optimizer.step()

    torch.manual_seed(0)
    straight = nn.Linear(20, 20)
    split = nn.Linear(20, 20)
    split.load_state_dict(straight.state_dict())
    first = Muon([straight.weight], lr=0.1, weight_decay=0.1)
    stepped(straight, first, range(6))
    second = Muon([split.weight], lr=0.1, weight_decay=0.1)
    stepped(split, second, range(3))
    resumed = Muon([split.weight], lr=0.1, weight_decay=0.1)
    resumed.load_state_dict(second.state_dict())
    stepped(split, resumed, range(3, 6))
    assert torch.equal(straight.weight, split.weight)
