"""The paper's network: one source over one window, and all sources densely over a song.

`PaperNetwork` is the network as published (323,233 parameters a source): a window of 25 frames
of a 513-bin magnitude spectrogram in, the 513 mask values of the middle frame out.
`DensePaperNetwork` holds the same weights for several sources and gives the same numbers for
every frame of a stretch of spectrogram, without computing shared columns 25 times.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name every torch user knows)

BINS = 513
"""Bins the network sees: the lowest 513 of the model's spectrogram."""
WINDOW_FRAMES = 25
"""Frames of a window; the mask is that of the middle one."""
CONTEXT_FRAMES = WINDOW_FRAMES // 2
"""Frames needed on each side of a predicted frame."""
PARAMETERS_PER_SOURCE = 323_233

_POOL_DROPOUT = 0.25
_DENSE_DROPOUT = 0.5
_HIDDEN = 128
_POOLED = 16 * (BINS // 9) * 2  # channels × bins × frames after the second pool


class PaperNetwork(nn.Module):
    """The network of one source over single windows.

    Source: Tomashevskyy and Tkachuk (2026), doi 10.31891/csit-2026-1-15; the stack is this
    project's reading of it, which has exactly the published number of parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 64, 3, padding=1)
        self.conv4 = nn.Conv2d(64, 16, 3, padding=1)
        self.dense1 = nn.Linear(_POOLED, _HIDDEN)
        self.dense2 = nn.Linear(_HIDDEN, BINS)

    def forward(self, windows: Tensor) -> Tensor:
        """Mask values of the middle frame of each window.

        Parameters
        ----------
        windows:
            float32 (batch, 1, 513 bins, 25 frames), scaled magnitudes.

        Returns
        -------
        Tensor
            float32 (batch, 513), probabilities from 0 to 1.
        """
        h = F.leaky_relu(self.conv1(windows))
        h = F.leaky_relu(self.conv2(h))
        h = F.dropout(F.max_pool2d(h, 3), _POOL_DROPOUT, self.training)
        h = F.leaky_relu(self.conv3(h))
        h = F.leaky_relu(self.conv4(h))
        h = F.dropout(F.max_pool2d(h, 3), _POOL_DROPOUT, self.training)
        h = F.leaky_relu(self.dense1(h.flatten(1)))
        h = F.dropout(h, _DENSE_DROPOUT, self.training)
        return torch.sigmoid(self.dense2(h))


class DensePaperNetwork(nn.Module):
    """`PaperNetwork` of several sources over every frame of a stretch of spectrogram.

    Neighbouring windows share their columns but for the edges, where a window's zero padding
    shows. So each convolution runs once over the stretch, and the few edge columns of the windows
    are had from that pass by adding what the replaced neighbour changes: convolution is linear,
    so exchanging the column at tap k adds ``W_k * (edge - shared)``. Columns are frames; the
    result equals the sliding window's up to rounding, with 14.6 of its 88.3 million multiply-adds a
    frame and source: a sixth. One tap could be had from the full pass; it did not pay.

    In training mode the dropout of shared columns is shared by the windows that hold them. Two
    hooks, `_observe` and `_standardise`, let `paper_training` normalise the layers.

    Parameters
    ----------
    sources:
        How many networks.
    trunks:
        How many sets of convolutions: one for each source, or a single one that all sources
        share, as in the first part of a training.
    """

    def __init__(self, sources: int, trunks: int | None = None) -> None:
        super().__init__()
        self.sources = sources
        self.trunks = trunks = trunks or sources
        # TorchScript sees attributes of a module, not globals.
        self.window_frames = WINDOW_FRAMES
        self.pool_dropout = _POOL_DROPOUT
        self.dense_dropout = _DENSE_DROPOUT
        self.pooled = _POOLED
        self.conv1 = nn.Conv2d(1, trunks * 32, 3)
        self.conv2 = nn.Conv2d(trunks * 32, trunks * 16, 3, groups=trunks)
        self.conv3 = nn.Conv2d(trunks * 16, trunks * 64, 3, groups=trunks)
        self.conv4 = nn.Conv2d(trunks * 64, trunks * 16, 3, groups=trunks)
        self.dense1_weight = nn.Parameter(torch.zeros(sources, _HIDDEN, _POOLED))
        self.dense1_bias = nn.Parameter(torch.zeros(sources, _HIDDEN))
        self.dense2_weight = nn.Parameter(torch.zeros(sources, BINS, _HIDDEN))
        self.dense2_bias = nn.Parameter(torch.zeros(sources, BINS))

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Mask values of every frame that has its context.

        Parameters
        ----------
        magnitudes:
            float32 (batch, frames + 24, 513 bins), scaled magnitudes; zeros stand for frames
            before the beginning and after the end of a song.

        Returns
        -------
        Tensor
            float32 (batch, sources, frames, 513), probabilities from 0 to 1.
        """
        return torch.sigmoid(self.logits(magnitudes))

    def logits(self, magnitudes: Tensor) -> Tensor:
        """Give what `forward` takes the sigmoid of, for losses that want it before."""
        pooled = self._second_block(*self._first_block(magnitudes.transpose(1, 2).unsqueeze(1)))
        h = pooled.reshape(pooled.shape[0], self.trunks, self.pooled, pooled.shape[-1])
        h = torch.matmul(h.transpose(2, 3), self.dense1_weight.transpose(1, 2))
        h = h + self.dense1_bias.unsqueeze(1)
        self._observe(4, h)
        h = F.leaky_relu(self._standardise(4, h))
        h = F.dropout(h, self.dense_dropout, self.training)
        h = torch.matmul(h, self.dense2_weight.transpose(1, 2))
        return h + self.dense2_bias.unsqueeze(1)

    def _first_block(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Convolutions 1 and 2 and the first pool, at stride 1 over frames.

        Returns the shared pooled columns, by the frame they begin at, and each window's own
        first and last ones (pooled columns 0 and 7).
        """
        frames, groups = x.shape[-1] - (self.window_frames - 1), self.trunks
        w1, b1 = self.conv1.weight, self.conv1.bias
        w2 = self.conv2.weight
        shared = _taps(x, w1, b1, 1, 1)
        self._observe(0, shared)
        shared = self._activate(0, shared)
        left = self._activate(0, _taps(x[..., : frames + 1], w1[..., 1:], b1, 1, 1))
        right = _taps(x[..., self.window_frames - 2 :], w1[..., :2], b1, 1, 1)
        right = self._activate(0, right)

        full = _taps(shared, w2, self.conv2.bias, 1, groups)
        self._observe(1, full)
        column0 = _taps(left, w2[..., 1:2], self.conv2.bias, 1, groups)
        column0 += _taps(shared[..., 1 : 1 + frames], w2[..., 2:3], None, 1, groups)
        column1 = _taps(self._change(left, shared[..., :frames]), w2[..., 0:1], None, 1, groups)
        column1 += full[..., 1 : 1 + frames]
        change = self._change(right, shared[..., 24 : 24 + frames])
        column23 = _taps(change, w2[..., 2:3], None, 1, groups)
        column23 += full[..., 23 : 23 + frames]

        # The pool takes bins first; its floor drops column 24 of every window.
        full = _pool_bins(full)
        pairs = torch.maximum(full[..., :-1], full[..., 1:])
        pooled = torch.maximum(pairs[..., :-1], full[..., 2:])
        first = torch.maximum(_pool_bins(column0), _pool_bins(column1))
        first = torch.maximum(first, full[..., 2 : 2 + frames])
        last = torch.maximum(pairs[..., 21 : 21 + frames], _pool_bins(column23))
        return self._pooled(1, pooled), self._pooled(1, first), self._pooled(1, last)

    def _second_block(self, shared: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """Convolutions 3 and 4 and the second pool, at a frame distance of 3.

        Returns (batch, sources · 16, 57, 2, frames): the two pooled columns of every window.
        """
        frames, groups = first.shape[-1], self.trunks
        w3, w4 = self.conv3.weight, self.conv4.weight
        full3 = _taps(shared, w3, self.conv3.bias, 3, groups)
        edge0 = _taps(first, w3[..., 1:2], self.conv3.bias, 3, groups)
        edge0 += _taps(shared[..., 3 : 3 + frames], w3[..., 2:3], None, 3, groups)
        edge1 = _taps(self._change(first, shared[..., :frames]), w3[..., 0:1], None, 3, groups)
        edge1 += full3[..., 3 : 3 + frames]
        change = self._change(last, shared[..., 21 : 21 + frames])
        edge6 = _taps(change, w3[..., 2:3], None, 3, groups)
        edge6 += full3[..., 18 : 18 + frames]
        self._observe(2, full3)
        full3, edge0 = self._activate(2, full3), self._activate(2, edge0)
        edge1, edge6 = self._activate(2, edge1), self._activate(2, edge6)

        full4 = _taps(full3, w4, self.conv4.bias, 3, groups)
        self._observe(3, full4)
        column0 = _taps(edge0, w4[..., 1:2], self.conv4.bias, 3, groups)
        column0 += _taps(edge1, w4[..., 2:3], None, 3, groups)
        change = self._change(edge0, full3[..., :frames])
        column1 = _taps(change, w4[..., 0:1], None, 3, groups)
        column1 += full4[..., 3 : 3 + frames]
        change = self._change(edge1, full3[..., 3 : 3 + frames])
        column1 += _taps(change, w4[..., 1:2], None, 3, groups)
        column2 = _taps(change, w4[..., 0:1], None, 3, groups)
        column2 += full4[..., 6 : 6 + frames]
        change = self._change(edge6, full3[..., 18 : 18 + frames])
        column5 = _taps(change, w4[..., 2:3], None, 3, groups)
        column5 += full4[..., 15 : 15 + frames]

        early = torch.maximum(torch.maximum(column0, column1), column2)
        late = torch.maximum(full4[..., 9 : 9 + frames], full4[..., 12 : 12 + frames])
        late = torch.maximum(late, column5)
        early, late = self._pooled(3, _pool_bins(early)), self._pooled(3, _pool_bins(late))
        return torch.stack((early, late), dim=3)

    def _change(self, edge: Tensor, shared: Tensor) -> Tensor:
        """Give what replaces a shared column by an edge one; the edge is not needed any more."""
        # In place where no gradient is wanted: these tensors are far larger than any cache.
        return edge - shared if torch.is_grad_enabled() else edge.sub_(shared)

    def _pooled(self, layer: int, columns: Tensor) -> Tensor:
        """Activate after the pool (both are monotone, so the order is free), then drop out."""
        return F.dropout(self._activate(layer, columns), self.pool_dropout, self.training)

    def _activate(self, layer: int, columns: Tensor) -> Tensor:
        return F.leaky_relu(self._standardise(layer, columns), inplace=not torch.is_grad_enabled())

    def _observe(self, layer: int, outputs: Tensor) -> None:
        """See a layer's outputs that windows share, before their activation; for training."""

    def _standardise(self, layer: int, outputs: Tensor) -> Tensor:  # noqa: ARG002
        """Change a layer's outputs before their activation, monotonically; for training."""
        return outputs


def _taps(x: Tensor, weight: Tensor, bias: Tensor | None, distance: int, groups: int) -> Tensor:
    """Convolve with some frame taps of a kernel, ``distance`` frames apart.

    Three taps keep the number of columns (zero padding at the ends, in columns that no window
    uses), one tap keeps it by nature, two give a column less.
    """
    return F.conv2d(
        x,
        weight,
        bias,
        padding=(1, distance if weight.shape[-1] == 3 else 0),
        dilation=(1, distance),
        groups=groups,
    )


def _pool_bins(x: Tensor) -> Tensor:
    """Maximum over groups of three bins; on a CPU a third faster than ``max_pool2d``."""
    return torch.maximum(torch.maximum(x[:, :, 0::3], x[:, :, 1::3]), x[:, :, 2::3])


def join_sources(networks: Sequence[PaperNetwork]) -> DensePaperNetwork:
    """Put the weights of one network per source into a dense one."""
    dense = DensePaperNetwork(len(networks))
    with torch.no_grad():
        for name in ("conv1", "conv2", "conv3", "conv4"):
            layers = [getattr(network, name) for network in networks]
            getattr(dense, name).weight.copy_(torch.cat([layer.weight for layer in layers]))
            getattr(dense, name).bias.copy_(torch.cat([layer.bias for layer in layers]))
        for name in ("dense1", "dense2"):
            layers = [getattr(network, name) for network in networks]
            getattr(dense, f"{name}_weight").copy_(torch.stack([la.weight for la in layers]))
            getattr(dense, f"{name}_bias").copy_(torch.stack([la.bias for la in layers]))
    return dense


def split_sources(dense: DensePaperNetwork) -> list[PaperNetwork]:
    """Take a dense network apart into one `PaperNetwork` per source, with copied weights."""
    networks = [PaperNetwork() for _ in range(dense.sources)]
    with torch.no_grad():
        for name in ("conv1", "conv2", "conv3", "conv4"):
            layer = getattr(dense, name)
            weights, biases = layer.weight.chunk(dense.sources), layer.bias.chunk(dense.sources)
            for network, weight, bias in zip(networks, weights, biases, strict=True):
                getattr(network, name).weight.copy_(weight)
                getattr(network, name).bias.copy_(bias)
        for name in ("dense1", "dense2"):
            for index, network in enumerate(networks):
                getattr(network, name).weight.copy_(getattr(dense, f"{name}_weight")[index])
                getattr(network, name).bias.copy_(getattr(dense, f"{name}_bias")[index])
    return networks


def slide(network: PaperNetwork, magnitudes: Tensor) -> Tensor:
    """Run a network's window over a stretch, frame by frame: the plain definition.

    Parameters
    ----------
    network:
        The network of one source.
    magnitudes:
        float32 (frames + 24, 513 bins), as `DensePaperNetwork.forward` takes them.

    Returns
    -------
    Tensor
        float32 (frames, 513).
    """
    windows = magnitudes.unfold(0, WINDOW_FRAMES, 1).unsqueeze(1)
    masks: Tensor = network(windows)
    return masks
