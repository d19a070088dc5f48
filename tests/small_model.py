"""A network of a few numbers that a test may save with whatever card it likes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit.cards import ModelCard
from stemsplit.models import save_model

SOURCES = ("vocals", "drums")
BINS = 33

CARD = ModelCard(
    name="small",
    description="A gain for each bin.",
    architecture="gains",
    sources=SOURCES,
    sample_rate=8000,
    n_fft=64,
    hop_length=16,
    bins=BINS,
    context_frames=2,
    magnitude_power=0.5,
    parameters=len(SOURCES) * BINS,
    sha256="0" * 64,
    data=[{"name": "noise", "licence": "CC0"}],
    licence="CC0",
)


class Gains(nn.Module):
    """Takes float32 (batch, frames + 4, 33), gives (batch, 2, frames, 33), 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.linspace(-1, 1, len(SOURCES) * BINS).view(-1, BINS))

    def forward(self, seen: Tensor) -> Tensor:
        here = seen[:, 2 : seen.shape[1] - 2].unsqueeze(1)
        return torch.sigmoid(here * self.gains.unsqueeze(1))


class GoingOn(Gains):
    """Goes on where it was, too, as `stemsplit.unet.BandUNet` does."""

    @torch.jit.export
    def rest(self, batch: int) -> list[Tensor]:
        return [torch.zeros([batch, 4, self.gains.shape[1]], dtype=self.gains.dtype)]

    @torch.jit.export
    def advance(
        self,
        seen: Tensor,
        carried: list[Tensor],
        first: int,  # noqa: ARG002 (silence changes nothing here)
        end: int,  # noqa: ARG002
    ) -> tuple[Tensor, list[Tensor]]:
        joined = torch.cat((carried[0], seen), dim=1)
        return self.forward(joined), [joined[:, -4:]]


class Forgetful(GoingOn):
    """Does not give piece by piece what it gives at once."""

    @torch.jit.export
    def advance(
        self,
        seen: Tensor,
        carried: list[Tensor],
        first: int,  # noqa: ARG002
        end: int,  # noqa: ARG002
    ) -> tuple[Tensor, list[Tensor]]:
        return self.forward(torch.cat((seen, carried[0]), dim=1)), carried


class Loud(Gains):
    """Its answers are no masks."""

    def forward(self, seen: Tensor) -> Tensor:
        return 2 + seen[:, 2 : seen.shape[1] - 2].unsqueeze(1) * self.gains.unsqueeze(1)


class Nothing(Gains):
    """Its answers are no numbers."""

    def forward(self, seen: Tensor) -> Tensor:
        here = seen[:, 2 : seen.shape[1] - 2].unsqueeze(1)
        return here * self.gains.unsqueeze(1) * float("nan")


class Greedy(Gains):
    """Wants 256 TiB, which no allocator gives."""

    def forward(self, seen: Tensor) -> Tensor:
        huge = torch.empty([1 << 46])
        return seen.unsqueeze(1) * huge[0]


def save(folder: Path, network: nn.Module | None = None, **changes: Any) -> Path:
    """Save a network with a card that says what it is, but for the changes; give the card."""
    path = folder / "small.json"
    save_model(network or Gains(), dataclasses.replace(CARD, **changes), path)
    return path
