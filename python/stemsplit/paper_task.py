"""What the paper's network is taught: windows of remixes, binary targets, its validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name every torch user knows)

from stemsplit import paper_network as paper
from stemsplit.config import SOURCES, StftSettings
from stemsplit.errors import UsageError
from stemsplit.material import StoredTrack, read_stems
from stemsplit.paper_features import teaching_pair
from stemsplit.paper_training import TrainingPaperNetwork, first_network
from stemsplit.remix import Remixer, RemixSettings
from stemsplit.training import Validation

_VALIDATION_FRAMES = 128
_PRIOR_BATCHES = 8


@dataclass(frozen=True)
class PaperSettings:
    """What the paper's network's training depends on beside `stemsplit.training`.

    Attributes
    ----------
    batch_size, frames:
        Excerpts in a step, and predicted frames of an excerpt. Many short ones teach more.
    trunk_steps:
        So many of the first steps train one set of convolutions for all sources, at a quarter of a
        step's cost; the rest train each source's own.
    dropout:
        Share of the published dropout rates: a short training wants less.
    sample_rate, n_fft, hop_length:
        The spectrogram.
    magnitude_power:
        Exponent the input magnitudes are compressed with.
    """

    batch_size: int = 32
    frames: int = 8
    trunk_steps: int = 3000
    dropout: float = 1.0
    sample_rate: int = 44100
    n_fft: int = 2048
    hop_length: int = 512
    magnitude_power: float = 1 / 3

    def __post_init__(self) -> None:
        for name in ("batch_size", "frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="at least 1")
        if not 0 <= self.dropout <= 1:
            raise UsageError("bad dropout", got=self.dropout, wanted="0 to 1")
        if self.stft.bins < paper.BINS:
            raise UsageError("bad n_fft", got=self.n_fft, wanted=f"at least {2 * paper.BINS - 2}")

    @property
    def stft(self) -> StftSettings:
        """The spectrogram's geometry."""
        return StftSettings(self.sample_rate, self.n_fft, self.hop_length)

    def card_facts(self) -> dict[str, Any]:
        """Give what the model's card says of its input and output."""
        return {
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "bins": paper.BINS,
            "context_frames": paper.CONTEXT_FRAMES,
            "magnitude_power": self.magnitude_power,
        }


class PaperTask:
    """The paper's networks' part in a training, all sources at once.

    A batch is: magnitudes (batch, frames + 24, bins), float32, and targets (batch, sources, frames,
    bins), bool.
    """

    architecture = "paper"

    def __init__(
        self,
        settings: PaperSettings,
        tracks: list[StoredTrack],
        valid: list[StoredTrack],
        *,
        seed: int,
        remix: RemixSettings | None = None,
    ) -> None:
        self.settings = settings
        self._valid = valid
        self._seed = seed
        hop, n_fft = settings.hop_length, settings.n_fft
        # Half a frame more on each side, so that no predicted frame sees the STFT's padding.
        self._margin = -(-n_fft // 2 // hop)
        check_split(tracks)
        columns = settings.frames + 2 * paper.CONTEXT_FRAMES + 2 * self._margin
        self._remixer = Remixer(tracks, (columns - 1) * hop, remix)

    def first_network(self) -> nn.Module:
        """Draw the network a training begins with: one trunk for all sources."""
        torch.manual_seed(self._seed)
        batches = [self._targets(step - _PRIOR_BATCHES) for step in range(_PRIOR_BATCHES)]
        return first_network(torch.cat(batches).float().mean((0, 2)), self.settings.dropout)

    def at_step(self, network: nn.Module, step: int) -> nn.Module:
        """Give each source convolutions of its own when the time has come."""
        training = cast(TrainingPaperNetwork, network)
        if step >= self.settings.trunk_steps and training.trunks == 1:
            return training.part()
        return training

    def batch(self, step: int, part: int = 0) -> tuple[Tensor, ...]:
        """Make a part of a step's batch; it depends on the seed, the step and the part alone."""
        first = part * self.settings.batch_size
        pairs = [
            self._example((self._seed, step + _PRIOR_BATCHES, first + index))
            for index in range(self.settings.batch_size)
        ]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Give the binary cross-entropy of a batch."""
        magnitudes, targets = batch
        logits = cast(TrainingPaperNetwork, network).logits(magnitudes).float()
        return F.binary_cross_entropy_with_logits(logits, targets.float())

    def validate(self, network: nn.Module) -> Validation | None:
        """Measure cross-entropy, and by source accuracy and squared error, over all bins.

        Accuracy is the share of bins where the mask cut at 0.5 equals the target.
        """
        if not self._valid:
            return None
        loss, right, squares = (np.zeros(len(SOURCES)) for _ in range(3))
        count = 0
        device = next(network.parameters()).device
        for magnitudes, targets in self._validation_pieces():
            with torch.inference_mode():
                logits = cast(TrainingPaperNetwork, network).logits(magnitudes.to(device))[0]
                logits, wanted = logits.float(), targets.to(device, torch.float32)
                masks = torch.sigmoid(logits)
                losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
                loss += losses.double().sum((1, 2)).cpu().numpy()
                right += ((masks > 0.5) == (wanted > 0.5)).double().sum((1, 2)).cpu().numpy()
                squares += (masks - wanted).square().double().sum((1, 2)).cpu().numpy()
            count += targets.shape[1] * targets.shape[2]
        accuracy = dict(zip(SOURCES, (right / count).tolist(), strict=True))
        mse = dict(zip(SOURCES, (squares / count).tolist(), strict=True))
        return Validation(float(loss.mean() / count), {"accuracy": accuracy, "mse": mse})

    def card_facts(self) -> dict[str, Any]:
        """Give what the model's card says of its input and output."""
        return self.settings.card_facts()

    def finished(self, network: nn.Module) -> nn.Module:
        """Give the network as published: nothing of the training's normalisation is left."""
        return cast(TrainingPaperNetwork, network).fold()

    def _example(self, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        magnitudes, targets = self._pair(self._remixer.example(seed).stems)
        magnitudes = magnitudes[self._margin : len(magnitudes) - self._margin]
        edge = self._margin + paper.CONTEXT_FRAMES
        return magnitudes, targets[:, edge : targets.shape[1] - edge]

    def _targets(self, step: int) -> Tensor:
        return self.batch(step)[1]

    def _pair(self, stems: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings = self.settings
        return teaching_pair(
            stems, stems.sum(axis=0), settings.stft, paper.BINS, settings.magnitude_power
        )

    def _validation_pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut every validation song into stretches: magnitudes with their context, targets."""
        context = paper.CONTEXT_FRAMES
        for track in self._valid:
            magnitudes, targets = self._pair(read_stems(track))
            padded = np.pad(magnitudes, ((context, context), (0, 0)))
            for start in range(0, len(magnitudes), _VALIDATION_FRAMES):
                stop = min(start + _VALIDATION_FRAMES, len(magnitudes))
                yield (
                    torch.from_numpy(padded[None, start : stop + 2 * context]),
                    torch.from_numpy(targets[:, start:stop]),
                )


class _Source(Protocol):
    @property
    def backing(self) -> bool: ...

    @property
    def highest_hz(self) -> float: ...


def check_split(sources: Iterable[_Source]) -> None:
    """See that collections, or their songs, have every stem and bin; raises `UsageError`."""
    if any(0 < source.highest_hz < math.inf for source in sources):
        raise UsageError(
            "the paper's networks need every bin",
            got="a collection with highest_hz",
            remedy='leave it out, or train a "band-unet"',
        )
    if any(source.backing for source in sources):
        raise UsageError(
            "the paper's networks need every stem",
            got="a collection with backing = true",
            remedy='leave it out, or train a "band-unet"',
        )
