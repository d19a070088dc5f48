"""What the shells offer for the values of options; quick, as it runs at every press of Tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stemsplit.config import SOURCES
from stemsplit.errors import ModelError
from stemsplit.models import find_card, own_models, packaged_models, read_card

Offer = tuple[str, str]
"""A value and a word about it."""


def model_names(incomplete: str) -> list[Offer]:
    """Offer the packaged models and the user's own; a path of a card is left to the shell."""
    names = (*packaged_models(), *own_models())
    return [(name, _about(name)) for name in names if name.startswith(incomplete)]


def own_model_names(incomplete: str) -> list[Offer]:
    """Offer the user's own models."""
    return [(name, _about(name)) for name in own_models() if name.startswith(incomplete)]


def devices(incomplete: str) -> list[Offer]:
    """Offer the words for a device."""
    offers = [
        ("auto", "CUDA where there is a device, else the CPU"),
        ("cpu", "the CPU"),
        ("cuda", "the first CUDA device"),
    ]
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def stem_names(incomplete: str) -> list[str]:
    """Offer what may follow in a list of stems: ``vocals,dr`` becomes ``vocals,drums``."""
    chosen, comma, last = incomplete.rpartition(",")
    taken = chosen.split(",")
    return [
        f"{chosen}{comma}{name}" for name in SOURCES if name.startswith(last) and name not in taken
    ]


def one_of(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Give a function that offers some words."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return offer


def _about(name: str) -> str:
    try:
        return f"{read_card(find_card(name)).parameters:,} parameters"
    except ModelError:  # no place to speak of it; a run with the model will
        return ""
