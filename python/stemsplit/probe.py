"""Checks a card against its network by a few frames of silence and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stemsplit.cards import ModelCard
from stemsplit.errors import ModelError
from stemsplit.scheme import scheme_of

if TYPE_CHECKING:
    import torch

_SLACK = 1e-3  # masks of 0 to 1, in any precision


def check_network(card: ModelCard, network: torch.nn.Module, device: torch.device) -> None:
    """See that a network takes what its card says and answers with masks of its stems.

    One that goes on from piece to piece has to give the same that way.

    Raises
    ------
    ModelError
        It fails, or its answer has another shape, or is no number from 0 to 1.
    """
    import torch

    scheme = scheme_of(card)
    context = 2 * card.context_frames
    frames = card.frame_multiple * -(-(context + 1) // card.frame_multiple) - context
    rng = np.random.default_rng(0)
    for seen in (
        np.zeros(scheme.seen_shape(context + frames), np.float32),
        rng.uniform(0, 1, scheme.seen_shape(context + frames)).astype(np.float32),
    ):
        try:
            with torch.inference_mode():
                given = torch.from_numpy(seen).to(device)
                answers = network(given)
                joined = (
                    _by_pieces(network, given, card.frame_multiple) if carries(network) else None
                )
        except Exception as error:  # the network is somebody's code: it may raise anything
            reason = str(error).strip().split("\n")[-1]
            raise misfit(card, f"{type(error).__name__}: {reason}") from error
        check_answers(card, answers, scheme.answers_shape(1, frames))
        if joined is not None:
            check_answers(card, joined, scheme.answers_shape(1, context + frames))
            differ = float((joined[..., context:, :] - answers).abs().max())
            if not differ < _SLACK:
                raise misfit(card, f"answers that differ by {differ:.3g} piece by piece", 0)


def _by_pieces(network: torch.nn.Module, seen: torch.Tensor, multiple: int) -> torch.Tensor:
    """Give the answers to frames in two pieces or so, which come the context later."""
    import torch

    frames, first, answers = seen.shape[1], 0, []
    carried = network.rest(1)  # type: ignore[operator]
    for piece in torch.split(seen, frames // 2 // multiple * multiple or frames, dim=1):
        answer, carried = network.advance(piece, carried, first, frames)  # type: ignore[operator]
        answers.append(answer)
        first += piece.shape[1]
    return torch.cat(answers, dim=-2)


def carries(network: torch.nn.Module) -> bool:
    """Tell whether a network has what `stemsplit.unet.BandUNet.advance` is."""
    return hasattr(network, "advance") and hasattr(network, "rest")


def check_answers(card: ModelCard, answers: object, shape: tuple[int, ...]) -> None:
    """See that what a network answers are masks of a shape, numbers from 0 to 1.

    Raises
    ------
    ModelError
        They are not.
    """
    import torch

    if not isinstance(answers, torch.Tensor) or answers.shape != shape:
        got = getattr(answers, "shape", type(answers).__name__)
        raise misfit(card, f"an answer of {got if isinstance(got, str) else tuple(got)}", shape)
    low, high = (float(bound) for bound in torch.aminmax(answers))
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # not so for NaN either
        raise misfit(card, f"answers from {low:.3g} to {high:.3g}", "0 to 1")


def misfit(card: ModelCard, got: str, wanted: object = None) -> ModelError:
    """Give the error for a card that its network contradicts."""
    what = f"the card of model {card.name} does not fit its network"
    return ModelError(what, got=got[:300], wanted=wanted)
