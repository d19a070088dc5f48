"""A trained model as teacher: what it hears in a mixture, as part of what another one learns.

True stems hold more than anybody can tell from a mixture. What a large network answers can be told,
and a smaller one learns it more easily than the truth alone (Hinton, Vinyals and Dean, "Distilling
the knowledge in a neural network", 2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stemsplit.cards import read_card
from stemsplit.config import SOURCES
from stemsplit.errors import UsageError
from stemsplit.growth import reopened

if TYPE_CHECKING:
    from stemsplit.band_task import BandSettings
    from stemsplit.cards import ModelCard


class Teacher:
    """A compact network that answers in the bands of the one it teaches.

    Parameters
    ----------
    card_path:
        Its model's card.
    settings:
        Of the training, whose spectrogram and bands have to be the teacher's too.

    Raises
    ------
    ModelError
        See `stemsplit.growth.reopened`.
    UsageError
        A model of another kind, with another spectrogram or other bands, or with more levels than
        the excerpts' frames allow.
    """

    def __init__(self, card_path: Path, settings: BandSettings) -> None:
        _check_fits(read_card(card_path), settings)
        self.card, self._network = reopened(card_path)
        self._network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def masks(self, features: Tensor) -> Tensor:
        """Give its masks of features on any device, shaped as those of `BandUNet.masks`."""
        return self._network.to(features.device).masks(features)


def _check_fits(card: ModelCard, settings: BandSettings) -> None:
    """Refuse a teacher that does not answer what the pupil is asked."""
    got = {
        "architecture": card.architecture,
        "sources": ", ".join(card.sources),
        "sample_rate": card.sample_rate,
        "n_fft": card.n_fft,
        "hop_length": card.hop_length,
        "bands": card.bands,
        "single_bands": card.single_bands,
        "magnitude_power": card.magnitude_power,
    }
    wanted = {
        "architecture": "band-unet",
        "sources": ", ".join(SOURCES),
        "bands": settings.size.bands,
        **{
            name: getattr(settings, name)
            for name in ("sample_rate", "n_fft", "hop_length", "single_bands", "magnitude_power")
        },
    }
    for name, value in got.items():
        if value != wanted[name]:
            raise UsageError(
                f"the teacher {card.name} has another {name}",
                got=value,
                wanted=wanted[name],
                remedy="choose another --teacher, or its settings in [network]",
            )
    if settings.frames % card.frame_multiple:
        raise UsageError(
            f"bad frames for the teacher {card.name}",
            got=settings.frames,
            wanted=f"a multiple of {card.frame_multiple}",
        )
