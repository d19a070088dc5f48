"""The compact network: masks of all stems, in bands, from stereo spectra in bands.

A small U-Net of convolutions over bands and frames. Every level has convolutional blocks and a
bottlenecked linear layer across all bands of a frame (TFC-TDF: Choi et al., "Investigating U-Nets
with various intermediate blocks for spectrogram-based singing voice separation", ISMIR 2020); the
middle sees further in time through dilation; skips multiply (as in KUIELab-MDX-Net, Kim et al.
2021). A softmax over the stems makes the masks of a band sum to 1. All of it, all below the finest
level, or the middle alone may run several times with the same weights, each time on what it made of
the input before (as the repeated blocks of Hu et al., "Speech separation using an asynchronous
fully recurrent convolutional neural network", NeurIPS 2021): depth without parameters. Over time it
is neither recurrent nor normalised, so its view is finite, and a song in pieces gives the same
masks: each convolution keeps the last frames that it saw, and goes on (as in Paine et al., "Fast
Wavenet generation algorithm", 2016).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from stemsplit.unet_size import CHANNELS, FEATURES, UNetSize


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

    def forward(self, x: Tensor, carried: list[Tensor], places: list[tuple[int, int]]) -> Tensor:
        frames = x.shape[3]
        start, end = _place(places, frames)
        x = _joined(_within(x, start, end), carried)
        h = _within(torch.relu_(self.first(x)), start - (x.shape[3] - frames), end)
        h = self.second(h)
        out: Tensor = self.across(_part(torch.relu_(h.add_(x)), 2, frames))
        return out


class _Middle(nn.Module):
    """A dilated convolution around a residual, then a look across all bands."""

    def __init__(self, width: int, bands: int, squeeze: int, dilation: int) -> None:
        super().__init__()
        self.reach = dilation
        self.conv = _Conv(width, width, dilation)
        self.across = _AcrossBands(bands, squeeze)

    def forward(self, x: Tensor, carried: list[Tensor], places: list[tuple[int, int]]) -> Tensor:
        frames = x.shape[3]
        start, end = _place(places, frames)
        x = _joined(_within(x, start, end), carried)
        h = x + torch.relu_(self.conv(x))
        out: Tensor = self.across(_part(h, self.reach, frames))
        return out


class _Blocks(nn.Sequential):
    """Blocks one after another."""

    def forward(  # type: ignore[override]
        self, x: Tensor, carried: list[Tensor], places: list[tuple[int, int]]
    ) -> Tensor:
        for block in self:
            x = block(x, carried, places)
        return x


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
        self.context = size.context_frames
        self.carried = size.carried(stems * CHANNELS)
        self.places = size.places
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
            _Blocks(*[_Block(*level) for _ in range(size.blocks)]) for level in outer
        )
        self.shrink = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wider, 2, 2, bias=False), nn.BatchNorm2d(wider))
            for wide, wider in pairwise(widths)
        )
        self.middle = _Blocks(
            *[_Middle(widths[-1], bands[-1], size.squeeze[-1], d) for d in size.dilations]
        )
        self.grow = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(wider, wide, 2, 2, bias=False), nn.BatchNorm2d(wide))
            for wide, wider in reversed(list(pairwise(widths)))
        )
        self.up = nn.ModuleList(
            _Blocks(*[_Block(*level) for _ in range(size.blocks)]) for level in reversed(outer)
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
        return self.masks(features)[:, :, :, self.context : features.shape[1] - self.context]

    def masks(self, features: Tensor) -> Tensor:
        """Give the masks of every frame; every layer is silent before the first and after the last.

        So it is in training, and a song is heard the same way at its ends.
        """
        carried: list[Tensor] = []
        places: list[tuple[int, int]] = []
        return self._masks(features, carried, places)

    @torch.jit.export
    def rest(self, batch: int) -> list[Tensor]:
        """Give what `advance` carries before the first piece of a song: every layer is silent."""
        weights = self.scale
        return [
            torch.zeros(
                [batch, channels, bands, frames], dtype=weights.dtype, device=weights.device
            ).contiguous(memory_format=torch.channels_last)
            for channels, bands, frames in self.carried
        ]

    @torch.jit.export
    def advance(
        self, features: Tensor, carried: list[Tensor], first: int, end: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Give the masks of a piece of a song that goes on, and what to carry to the next piece.

        All pieces together give what `masks` gives of all of the song, and no frame is computed
        twice: every layer goes on where it was. So masks come later than features, by the context.

        Parameters
        ----------
        features:
            As in `forward`, one stride or more.
        carried:
            What the piece before gave, or `rest`; it is not changed.
        first:
            Frames of the song before this piece.
        end:
            Frames of the song, a multiple of the stride; any number beyond this piece while it is
            not known. After it there may be as many as the context, for the masks that are left.

        Returns
        -------
        tuple
            Masks like those of `forward`, of as many frames, each the context before its place;
            and what is carried.
        """
        kept = list(carried)
        places = [((first - lag) >> level, end >> level) for level, lag in self.places]
        masks = self._masks(features, kept, places)
        return masks, kept

    def _masks(
        self, features: Tensor, carried: list[Tensor], places: list[tuple[int, int]]
    ) -> Tensor:
        logits = self.logits(features.permute(0, 2, 3, 1), carried, places)
        return torch.softmax(logits.float(), dim=1).transpose(3, 4).contiguous()

    def logits(
        self, features: Tensor, carried: list[Tensor], places: list[tuple[int, int]]
    ) -> Tensor:
        """Give (batch, stems, 2, bands, frames) of features (batch, 4, bands, frames)."""
        frames = features.shape[3]
        start, end = _place(places, frames)
        x: Tensor = features * self.scale + self.shift
        x = _within(x.contiguous(memory_format=torch.channels_last), start, end)
        seen = _part(torch.relu_(self.begin(_joined(x, carried))), 1, frames)
        x = self._round(seen, carried, places)
        for again in self.again:
            seen = _late(seen, carried)
            x = self._round(again(x).add_(seen), carried, places)
        y = _late(self.end(x), carried)
        return y.reshape(y.shape[0], self.stems, self.channels, y.shape[2], y.shape[3])

    def _round(self, x: Tensor, carried: list[Tensor], places: list[tuple[int, int]]) -> Tensor:
        """Run all blocks once.

        The loops are there for a network of one level: TorchScript has no index into an empty list.
        """
        x = _late(x, carried)
        skips: list[Tensor] = []
        for blocks, shrink in zip(self.down, self.shrink):  # noqa: B905 (TorchScript has no strict)
            if len(skips) == 0:
                x = blocks(x, carried, places)
                skips.append(x)
                x = torch.relu_(shrink(x))
        x = self._inner(x, carried, places)
        level = len(self.down)
        for grow, blocks in zip(self.grow, self.up):  # noqa: B905
            level -= 1
            if level == 0:
                x = torch.relu_(grow(x)) * _late(skips.pop(), carried)
                x = blocks(x, carried, places)
        return x

    def _inner(self, seen: Tensor, carried: list[Tensor], places: list[tuple[int, int]]) -> Tensor:
        """Run the rounds of all below the finest level."""
        x = self._inner_round(seen, carried, places)
        for again in self.inner_again:
            seen = _late(seen, carried)
            x = self._inner_round(again(x).add_(seen), carried, places)
        return x

    def _inner_round(
        self, x: Tensor, carried: list[Tensor], places: list[tuple[int, int]]
    ) -> Tensor:
        """Run all below the finest level once, as `_round` does."""
        x = _late(x, carried)
        skips: list[Tensor] = []
        level = -1
        for blocks, shrink in zip(self.down, self.shrink):  # noqa: B905
            if level >= 0:
                x = blocks(x, carried, places)
                skips.append(x)
                x = torch.relu_(shrink(x))
            level += 1
        x = self._middle(x, carried, places)
        for grow, blocks in zip(self.grow, self.up):  # noqa: B905
            if len(skips) > 0:
                x = torch.relu_(grow(x)) * _late(skips.pop(), carried)
                x = blocks(x, carried, places)
        return x

    def _middle(self, seen: Tensor, carried: list[Tensor], places: list[tuple[int, int]]) -> Tensor:
        """Run the middle's rounds."""
        x: Tensor = self.middle(seen, carried, places)
        for again in self.middle_again:
            seen = _late(seen, carried)
            x = self.middle(again(x).add_(seen), carried, places)
        return x


def _again(width: int, rounds: int) -> nn.ModuleList:
    """Give what takes the outputs of all rounds but the last to the next one."""
    convs = [nn.Conv2d(width, width, 1, bias=False) for _ in range(1, rounds)]
    for conv in convs:
        nn.init.zeros_(conv.weight)  # at first a round repeats the one before
    return nn.ModuleList(convs)


def _place(places: list[tuple[int, int]], frames: int) -> tuple[int, int]:
    """Give where in the song the next convolution's frames begin, and where the song ends.

    Without places the excerpt is all there is.
    """
    return (0, frames) if len(places) == 0 else places.pop(0)


def _within(x: Tensor, start: int, end: int) -> Tensor:
    """Let frames from a place on be silent where they lie outside the song; in place."""
    after = start + x.shape[3] - end
    if start < 0:
        x[..., : min(-start, x.shape[3])].zero_()
    if after > 0:
        x[..., max(x.shape[3] - after, 0) :].zero_()
    return x


def _joined(x: Tensor, carried: list[Tensor]) -> Tensor:
    """Put the frames carried first before x, and carry as many of the last ones on."""
    if len(carried) == 0:
        return x
    past = carried.pop(0)
    if past.shape[3] == 0:
        carried.append(past)
        return x
    joined = torch.cat((past, x), dim=3)
    carried.append(joined[..., x.shape[3] :].clone(memory_format=torch.channels_last))
    return joined


def _part(x: Tensor, first: int, frames: int) -> Tensor:
    """Give so many frames, which begin with that one if there are more."""
    return x if x.shape[3] == frames else x[..., first : first + frames]


def _late(x: Tensor, carried: list[Tensor]) -> Tensor:
    """Give the frames carried and then x, as many as x has, and carry the rest on."""
    return _part(_joined(x, carried), 0, x.shape[3])
