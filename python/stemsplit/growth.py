"""Compact networks out of saved ones: as they were, within larger ones, or with fewer rounds."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from stemsplit.cards import ModelCard, read_card
from stemsplit.errors import ModelError
from stemsplit.models import load_network
from stemsplit.unet import BandUNet
from stemsplit.unet_size import UNetSize

_AGAIN = re.compile(r"((?:inner_|middle_)?again\.)(\d+)\.weight")


def embed(network: nn.Module, smaller: dict[str, Tensor]) -> None:
    """Give a network the weights of one of its kind with fewer channels or rounds.

    What the smaller one computes goes on as it was: its channels take nothing from the new ones,
    which see everything and learn to be heard (function-preserving growth as in Chen et al.,
    "Net2Net", ICLR 2016). Equal sizes are plainly copied.

    Parameters
    ----------
    network:
        The larger one.
    smaller:
        State of the smaller one.

    Raises
    ------
    RuntimeError
        Another kind of network, or one that is larger in any place.
    """
    state = network.state_dict()
    smaller = _rounds_at_last(smaller, state)
    transposed = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.ConvTranspose2d)
    }
    # What a smaller one may lack is what changes nothing while it is zero.
    lacking = {name for name in state.keys() - smaller.keys() if state[name].any()}
    strange = ", ".join(sorted(lacking | (smaller.keys() - state.keys()))[:3])
    if strange:
        raise RuntimeError(f"weights of another kind of network: {strange}")
    with torch.no_grad():
        for name, given in smaller.items():
            weights = state[name]
            fits = weights.ndim == given.ndim and all(
                a >= b for a, b in zip(weights.shape, given.shape, strict=True)
            )
            if not fits:
                raise RuntimeError(
                    f"{name} is {tuple(given.shape)} and should be at most {tuple(weights.shape)}"
                )
            _embed(weights, given, outputs=1 if name in transposed else 0)


def reopened(card_path: Path, *, vouched: bool = False) -> tuple[ModelCard, BandUNet]:
    """Give a saved compact network as the module it was before, on the CPU, and its card.

    Parameters
    ----------
    card_path:
        Its model's card.
    vouched:
        Whether the caller vouches for the weights; else they have to be known.

    Raises
    ------
    ModelError
        See `stemsplit.models.load_network`; a card that does not tell the network's size.
    """
    trusted = read_card(card_path).sha256 if vouched else None
    card, given = load_network(card_path, torch.device("cpu"), trusted_sha256=trusted)
    try:
        network = BandUNet(len(card.sources), UNetSize.named(card.training["network"]["size"]))
        network.load_state_dict(given.state_dict())
    except (LookupError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"the card of {card.name} does not tell its network's size",
            wanted="a model that stemsplit train has made",
        ) from error
    return card, network


def without_first_rounds(state: dict[str, Tensor], which: str, rounds: int) -> dict[str, Tensor]:
    """Give the state of a network that runs only the last so many of another's rounds.

    It is as if nothing were taken from the first ones: the next round begins anew. Which rounds
    says the name that `UNetSize` has for them, such as ``middle_rounds``.
    """
    prefix = which.removesuffix("rounds") + "again."
    kept, shift = {}, sum(name.startswith(prefix) for name in state) + 1 - rounds
    for name, weights in state.items():
        taken = _AGAIN.fullmatch(name)
        if taken is None or taken[1] != prefix:
            kept[name] = weights
        elif int(taken[2]) >= shift:
            kept[f"{prefix}{int(taken[2]) - shift}.weight"] = weights
    return kept


def _rounds_at_last(smaller: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name what takes a round to the next by its place in a network of more rounds.

    New rounds come first: while nothing is taken from them the next one repeats the first. Were
    they last, the network would forget the rounds between.
    """

    def moved(name: str) -> str:
        taken = _AGAIN.fullmatch(name)
        if not taken:
            return name
        rounds = [sum(other.startswith(taken[1]) for other in names) for names in (state, smaller)]
        return f"{taken[1]}{int(taken[2]) + max(0, rounds[0] - rounds[1])}.weight"

    return {moved(name): weights for name, weights in smaller.items()}


def _embed(weights: Tensor, given: Tensor, *, outputs: int) -> None:
    """Copy weights into larger ones; given outputs see no new inputs."""
    if weights.ndim > 1:
        weights.narrow(outputs, 0, given.shape[outputs]).zero_()
    corner = weights
    for axis, size in enumerate(given.shape):
        corner = corner.narrow(axis, 0, size)
    corner.copy_(given)
