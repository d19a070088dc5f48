"""The paper's network as it trains: batch normalisation and shared convolutions, folded away after.

Plain convolutions of magnitudes, which are all positive, hardly let the differences between windows
through, and a network of each source's own costs four times as much. So a training begins with
one set of convolutions for all sources, every layer normalised over the batch, and ends with each
source's own; `TrainingPaperNetwork.fold` then gives the network as published, with the same output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemsplit.paper_network import BINS, DensePaperNetwork

_MOMENTUM = 0.05
_EPSILON = 1e-5


class _Norm(nn.Module):
    """Batch normalisation without a gain, which the next layer has: mean 0, variance 1, a shift.

    The statistics come from `observe` and serve everything that is standardised until the next
    call: in the dense network a layer's columns are made in several pieces.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(shape))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        # All axes but the channels', or but those of sources and hidden values.
        self._axes = [axis for axis, size in enumerate(shape) if size == 1]
        self._current: tuple[Tensor, Tensor] | None = None

    def observe(self, outputs: Tensor) -> None:
        if not self.training:
            self._current = None
            return
        var, mean = torch.var_mean(outputs.float(), self._axes, correction=0, keepdim=True)
        self._current = (mean, var)
        with torch.no_grad():
            self.mean.lerp_(mean, _MOMENTUM)
            self.var.lerp_(var, _MOMENTUM)

    def forward(self, outputs: Tensor) -> Tensor:
        mean, var = self._current or (self.mean, self.var)
        standard = (outputs - mean) * torch.rsqrt(var + _EPSILON) + self.shift
        return standard.to(outputs.dtype)


class TrainingPaperNetwork(DensePaperNetwork):
    """`DensePaperNetwork` with every layer but the last normalised over the batch.

    Parameters
    ----------
    sources, trunks:
        As for `DensePaperNetwork`.
    dropout:
        Share of the published dropout rates: a short training wants less.
    """

    def __init__(self, sources: int, trunks: int, dropout: float = 1.0) -> None:
        super().__init__(sources, trunks)
        self.pool_dropout *= dropout
        self.dense_dropout *= dropout
        layers = [self.conv1, self.conv2, self.conv3, self.conv4]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None  # made so by the base class
            nn.init.zeros_(layer.bias)
        for weight in (self.dense1_weight, self.dense2_weight):
            nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
        with torch.no_grad():
            self.dense2_weight.mul_(0.5)
        shapes = [(1, layer.out_channels, 1, 1) for layer in layers]
        shapes.append((1, sources, 1, self.dense1_weight.shape[1]))
        self.norms = nn.ModuleList(_Norm(shape) for shape in shapes)

    def _observe(self, layer: int, outputs: Tensor) -> None:
        norm = self.norms[layer]
        assert isinstance(norm, _Norm)
        norm.observe(outputs)

    def _standardise(self, layer: int, outputs: Tensor) -> Tensor:
        standard: Tensor = self.norms[layer](outputs)
        return standard

    @torch.no_grad()
    def part(self) -> TrainingPaperNetwork:
        """Give a network that computes the same with convolutions of each source's own."""
        parted = TrainingPaperNetwork(self.sources, self.sources).to(self.conv1.weight.device)
        parted.pool_dropout, parted.dense_dropout = self.pool_dropout, self.dense_dropout
        copies = self.sources // self.trunks
        for name, value in self.state_dict().items():
            if name.startswith("conv"):
                value = torch.cat([value] * copies)
            elif name.startswith("norms") and value.shape[1] != self.sources:
                value = torch.cat([value] * copies, dim=1)
            parted.state_dict()[name].copy_(value)
        return parted

    @torch.no_grad()
    def fold(self) -> DensePaperNetwork:
        """Give the network as published that computes the same in evaluation mode."""
        whole = self if self.trunks == self.sources else self.part()
        folded = DensePaperNetwork(self.sources)
        for name, value in folded.state_dict().items():
            value.copy_(whole.state_dict()[name])
        for index, norm in enumerate(whole.norms):
            assert isinstance(norm, _Norm)
            scale = torch.rsqrt(norm.var + _EPSILON)
            if index < 4:
                layer: nn.Conv2d = getattr(folded, f"conv{index + 1}")
                assert layer.bias is not None
                layer.weight.mul_(scale.reshape(-1, 1, 1, 1))
                layer.bias.copy_((layer.bias - norm.mean.flatten()) * scale.flatten())
                layer.bias.add_(norm.shift.flatten())
            else:
                hidden = folded.dense1_bias.shape
                folded.dense1_weight.mul_(scale.reshape(*hidden, 1))
                bias = (folded.dense1_bias - norm.mean.reshape(hidden)) * scale.reshape(hidden)
                folded.dense1_bias.copy_(bias + norm.shift.reshape(hidden))
        return folded


def first_network(target_shares: Tensor, dropout: float) -> TrainingPaperNetwork:
    """Give the network a training begins with: one trunk, answering each bin's mean target.

    Parameters
    ----------
    target_shares:
        float32 (sources, 513): how often a bin's target is 1.
    dropout:
        As `TrainingPaperNetwork` takes it.
    """
    assert target_shares.shape[1] == BINS
    network = TrainingPaperNetwork(len(target_shares), 1, dropout)
    with torch.no_grad():
        network.dense2_bias.copy_(torch.logit(target_shares.clamp(1e-3, 1 - 1e-3)))
    return network
