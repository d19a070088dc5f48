"""The compact network: masks of all stems, in bands, from stereo spectra in bands.

A small U-Net of convolutions over bands and frames. Every level has convolutional blocks and a
bottlenecked linear layer across all bands of a frame (TFC-TDF: Choi et al., "Investigating U-Nets
with various intermediate blocks for spectrogram-based singing voice separation", ISMIR 2020); the
middle sees further in time through dilation; skips multiply (as in KUIELab-MDX-Net, Kim et al.
2021). A softmax over the stems makes the masks of a band sum to 1. All of it, all below the finest
level, or the middle alone may run several times with the same weights, each time on what it made of
the input before (as the repeated blocks of Hu et al., "Speech separation using an asynchronous
fully recurrent convolutional neural network", NeurIPS 2021): depth without parameters. Over time it
is neither recurrent nor normalised, so its view is finite and a song in pieces gives the same
masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit.errors import UsageError

FEATURES = 4
"""Input channels: left, right, mid and side."""
CHANNELS = 2
"""Masked channels: left and right."""


@dataclass(frozen=True)
class UNetSize:
    """How large a network is.

    Attributes
    ----------
    bands:
        Of its input and output, a multiple of ``2 ** levels``.
    widths:
        Channels of each level, the finest first; multiples of 16 suit processors.
    blocks:
        Convolutional blocks of each level but the last, on either side.
    squeeze:
        Width of the bottleneck of a level's linear layer across its bands.
    dilations:
        Of the middle's blocks, in its frames.
    rounds:
        How often the blocks run, with the same weights: after the first time on the sum of what
        they saw at first and what they made of it.
    inner_rounds:
        How often all below the finest level runs each time, likewise.
    middle_rounds:
        How often the middle runs each time, likewise: of all levels the coarsest sees furthest.
    """

    bands: int = 384
    widths: tuple[int, ...] = (32, 40, 64)
    blocks: int = 1
    squeeze: tuple[int, ...] = (24, 24, 24)
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 1
    inner_rounds: int = 1
    middle_rounds: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "inner_rounds", "middle_rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="at least 1")
        numbers = (self.bands, *self.widths, *self.squeeze, *self.dilations)
        if not self.widths or not all(number >= 1 for number in numbers) or self.blocks < 0:
            raise UsageError("bad size of a network", got=self, wanted="numbers of at least 1")
        if len(self.squeeze) != len(self.widths):
            wanted = f"one for each of {len(self.widths)} widths"
            raise UsageError("bad squeeze", got=f"{len(self.squeeze)} of them", wanted=wanted)
        if self.bands % 2 ** len(self.widths):
            wanted = f"a multiple of {2 ** len(self.widths)}, as each of the widths halves them"
            raise UsageError("bad bands", got=self.bands, wanted=wanted)

    @classmethod
    def named(cls, facts: dict[str, Any]) -> UNetSize:
        """Give the size that the settings of a card's training name, as JSON holds it."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts.items()
        }
        return cls(**values)

    @property
    def time_stride(self) -> int:
        """Frames of the input per frame of the middle; inputs are a multiple of it long."""
        return 1 << (len(self.widths) - 1)

    @property
    def context_frames(self) -> int:
        """Frames a mask depends on at each side, rounded up to a multiple of `time_stride`."""
        return self._context(self.rounds)

    @property
    def crops(self) -> tuple[int, ...]:
        """Frames at each side that nothing after a round depends on, of the first to the last."""
        return _differences([*map(self._context, range(self.rounds, 0, -1)), 0])

    @property
    def inner_crops(self) -> tuple[int, ...]:
        """Frames likewise, of the second level's, after an inner round that is not the last."""
        grid = self.time_stride
        needs = [_round_up(self._inner_reach(0, n), grid) for n in range(self.inner_rounds, 0, -1)]
        return tuple(crop >> min(1, len(self.widths) - 1) for crop in _differences(needs))

    @property
    def late_frames(self) -> int:
        """Frames at each side that the finest level depends on after all others, of the stride."""
        return _round_up(2 * self.blocks, self.time_stride) if len(self.widths) > 1 else 0

    @property
    def inner_late_frames(self) -> int:
        """Frames of the second level likewise, that what follows the middle depends on there."""
        return self._up(0) // 2

    def _context(self, rounds: int) -> int:
        reach = 0
        for _ in range(rounds):  # back from the output
            own = 2 * self.blocks if len(self.widths) > 1 else 0
            reach = _round_up(reach + own, self.time_stride)
            reach = self._inner_reach(reach, self.inner_rounds) + own
        return _round_up(reach + 1, self.time_stride)

    def _inner_reach(self, reach: int, rounds: int) -> int:
        """Give what so many rounds below the finest level depend on, for what is wanted of them."""
        for _ in range(rounds):
            reach = self._up(reach)
            reach += self.middle_rounds * sum(self.dilations) * self.time_stride
            reach += sum(2 * self.blocks << level for level in self._between)
        return reach

    def _up(self, reach: int) -> int:
        for level in self._between:  # a coarser frame begins on its own grid
            reach = _round_up(reach + (2 * self.blocks << level), 2 << level)
        return reach

    @property
    def _between(self) -> range:
        """The levels that are neither the finest nor the middle."""
        return range(1, len(self.widths) - 1)


def _differences(falling: list[int]) -> tuple[int, ...]:
    return tuple(more - less for more, less in pairwise(falling))


def _round_up(value: int, grid: int) -> int:
    return -(-value // grid) * grid


class _Conv(nn.Sequential):
    """A 3×3 convolution with batch normalisation, which folds into it, and without a ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(
                inputs, outputs, 3, padding=(1, dilation), dilation=(1, dilation), bias=False
            ),
            nn.BatchNorm2d(outputs),
        )


class _AcrossBands(nn.Module):
    """A residual bottleneck across the bands of each frame and channel."""

    def __init__(self, bands: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze_weight = nn.Parameter(torch.randn(squeeze, bands) * (2 / bands) ** 0.5)
        self.squeeze_bias = nn.Parameter(torch.zeros(squeeze, 1))
        self.expand_weight = nn.Parameter(torch.randn(bands, squeeze) * 0.2 * squeeze**-0.5)
        self.expand_bias = nn.Parameter(torch.zeros(bands, 1))

    def forward(self, x: Tensor) -> Tensor:
        # In channels-last memory this is a view: bands, then frames and channels together.
        batch, channels, bands, frames = x.shape
        flat = x.permute(0, 2, 3, 1).reshape(batch, bands, frames * channels)
        # torch.matmul would fold the batch into the rows by a transposed copy of all of x.
        squeeze = self.squeeze_weight.expand(batch, -1, -1)
        expand = self.expand_weight.expand(batch, -1, -1)
        h = torch.relu_(torch.baddbmm(self.squeeze_bias, squeeze, flat))
        # In place, which autocast leaves alone: there the types are matched here.
        flat = flat + self.expand_bias.to(flat.dtype)
        flat = flat.baddbmm_(expand.to(flat.dtype), h.to(flat.dtype))
        return flat.reshape(batch, bands, frames, channels).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """Two convolutions around a residual, then a look across all bands."""

    def __init__(self, width: int, bands: int, squeeze: int) -> None:
        super().__init__()
        self.first = _Conv(width, width)
        self.second = _Conv(width, width)
        self.across = _AcrossBands(bands, squeeze)

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(torch.relu_(self.first(x)))
        out: Tensor = self.across(torch.relu_(h.add_(x)))
        return out


class _Middle(nn.Module):
    """A dilated convolution around a residual, then a look across all bands."""

    def __init__(self, width: int, bands: int, squeeze: int, dilation: int) -> None:
        super().__init__()
        self.conv = _Conv(width, width, dilation)
        self.across = _AcrossBands(bands, squeeze)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.across(x + torch.relu_(self.conv(x)))
        return out


class BandUNet(nn.Module):
    """Masks of all stems from stereo spectra, both in bands.

    Parameters
    ----------
    stems:
        How many.
    size:
        See `UNetSize`.
    """

    def __init__(self, stems: int, size: UNetSize) -> None:
        super().__init__()
        self.stems = stems
        self.channels = CHANNELS
        self.crops = list(size.crops)
        self.uncropped = [0] * size.rounds
        self.inner_crops = [*size.inner_crops, 0]  # the last inner round leaves out the rest
        self.late = size.late_frames
        self.inner_late = size.inner_late_frames
        widths = size.widths
        bands = [size.bands // 2 ** (level + 1) for level in range(len(widths))]
        self.scale = nn.Parameter(torch.ones(1, FEATURES, size.bands, 1))
        self.shift = nn.Parameter(torch.zeros(1, FEATURES, size.bands, 1))
        self.begin = nn.Sequential(
            nn.Conv2d(FEATURES, widths[0], (4, 3), (2, 1), (1, 1), bias=False),
            nn.BatchNorm2d(widths[0]),
        )
        outer = list(zip(widths[:-1], bands[:-1], size.squeeze[:-1], strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(*[_Block(*level) for _ in range(size.blocks)]) for level in outer
        )
        self.shrink = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wider, 2, 2, bias=False), nn.BatchNorm2d(wider))
            for wide, wider in pairwise(widths)
        )
        self.middle = nn.Sequential(
            *[_Middle(widths[-1], bands[-1], size.squeeze[-1], d) for d in size.dilations]
        )
        self.grow = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(wider, wide, 2, 2, bias=False), nn.BatchNorm2d(wide))
            for wide, wider in reversed(list(pairwise(widths)))
        )
        self.up = nn.ModuleList(
            nn.Sequential(*[_Block(*level) for _ in range(size.blocks)])
            for level in reversed(outer)
        )
        self.again = _again(widths[0], size.rounds)
        self.inner_again = _again(widths[min(1, len(widths) - 1)], size.inner_rounds)
        self.middle_again = _again(widths[-1], size.middle_rounds)
        self.end = nn.ConvTranspose2d(widths[0], stems * CHANNELS, (2, 1), (2, 1))

    def train(self, mode: bool = True) -> BandUNet:
        """Set the mode; with rounds, normalisation keeps the statistics it began with.

        Rounds share their normalisation, and what they normalise differs: statistics of both
        together would fit neither.
        """
        super().train(mode)
        if len(self.again) or len(self.inner_again) or len(self.middle_again):
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Give the masks of every frame that has its context.

        Parameters
        ----------
        features:
            Floats (batch, frames, 4, bands): compressed magnitudes of left, right, mid and side;
            frames a multiple of `UNetSize.time_stride`, more than twice the context.

        Returns
        -------
        Tensor
            Floats (batch, stems, 2 channels, frames - 2 · context, bands), 0 to 1, that sum to 1
            over the stems.
        """
        return self._masks(features, self.crops)

    def masks(self, features: Tensor) -> Tensor:
        """Give the masks of every frame, with silence beyond the first and the last."""
        return self._masks(features, self.uncropped)

    def _masks(self, features: Tensor, crops: list[int]) -> Tensor:
        logits = self.logits(features.permute(0, 2, 3, 1), crops)
        return torch.softmax(logits.float(), dim=1).transpose(3, 4).contiguous()

    def logits(self, features: Tensor, crops: list[int]) -> Tensor:
        """Give (batch, stems, 2, bands, frames) of features (batch, 4, bands, frames).

        After each round that many frames are left out at each side.
        """
        x: Tensor = features * self.scale + self.shift
        seen = torch.relu_(self.begin(x.contiguous(memory_format=torch.channels_last)))
        x = self._body(seen, crops[0])
        for index, again in enumerate(self.again):
            seen = _cropped(seen, crops[index])
            x = self._body(again(x).add_(seen), crops[index + 1])
        y: Tensor = self.end(x)
        return y.reshape(y.shape[0], self.stems, self.channels, y.shape[2], y.shape[3])

    def _body(self, x: Tensor, crop: int) -> Tensor:
        """Run all blocks once; so many frames at each side are left out, most of them early.

        The loops are there for a network of one level: TorchScript has no index into an empty list.
        """
        early = max(crop - self.late, 0)
        skips: list[Tensor] = []
        for blocks, shrink in zip(self.down, self.shrink):  # noqa: B905 (TorchScript has no strict)
            if len(skips) == 0:
                x = blocks(x)
                skips.append(_cropped(x, early))
                x = torch.relu_(shrink(x))
        x = self._inner(x, early >> len(skips))
        level = len(self.down)
        for grow, blocks in zip(self.grow, self.up):  # noqa: B905
            level -= 1
            if level == 0:
                x = blocks(torch.relu_(grow(x)) * skips.pop())
        return _cropped(x, crop - early)

    def _inner(self, seen: Tensor, crop: int) -> Tensor:
        """Run the rounds of all below the finest level; frames at each side are left out."""
        crops = [share if crop > 0 else 0 for share in self.inner_crops]
        crops[-1] = crop - sum(crops)
        x = self._below(seen, crops[0])
        for index, again in enumerate(self.inner_again):
            seen = _cropped(seen, crops[index])
            x = self._below(again(x).add_(seen), crops[index + 1])
        return x

    def _below(self, x: Tensor, crop: int) -> Tensor:
        """Run all below the finest level once, as `_body` does."""
        early = max(crop - self.inner_late, 0)
        skips: list[Tensor] = []
        level = -1
        for blocks, shrink in zip(self.down, self.shrink):  # noqa: B905
            if level >= 0:
                x = blocks(x)
                skips.append(_cropped(x, early >> level))
                x = torch.relu_(shrink(x))
            level += 1
        x = self._middle(x, early >> max(level, 0))
        for grow, blocks in zip(self.grow, self.up):  # noqa: B905
            if len(skips) > 0:
                x = blocks(torch.relu_(grow(x)) * skips.pop())
        return _cropped(x, crop - early)

    def _middle(self, seen: Tensor, crop: int) -> Tensor:
        """Run the middle's rounds, and leave out as many frames after each."""
        share = crop // (1 + len(self.middle_again))
        x: Tensor = self.middle(seen)
        for again in self.middle_again:
            seen, x, crop = _cropped(seen, share), _cropped(x, share), crop - share
            x = self.middle(again(x).add_(seen))
        return _cropped(x, crop)


def _again(width: int, rounds: int) -> nn.ModuleList:
    """Give what takes the outputs of all rounds but the last to the next one."""
    convs = [nn.Conv2d(width, width, 1, bias=False) for _ in range(1, rounds)]
    for conv in convs:
        nn.init.zeros_(conv.weight)  # at first a round repeats the one before
    return nn.ModuleList(convs)


def _cropped(x: Tensor, frames: int) -> Tensor:
    """Leave out so many frames at each side."""
    inner = x[..., frames : x.shape[-1] - frames]
    return inner.contiguous(memory_format=torch.channels_last)
