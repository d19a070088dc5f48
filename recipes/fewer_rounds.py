"""Leaves rounds of a trained compact network out.

    python recipes/fewer_rounds.py CARD.json --rounds 3 -o run/tiny.json

gives a model whose blocks run that often, as if the first of its rounds were not, and a card that
says so; `--inner-rounds` and `--middle-rounds` leave rounds of these alone out. A network that was
trained with more may hardly miss them, and is faster without.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from stemsplit.cards import ModelCard
from stemsplit.errors import UsageError
from stemsplit.growth import reopened, without_first_rounds
from stemsplit.models import save_model
from stemsplit.unet import BandUNet
from stemsplit.unet_size import UNetSize

KINDS = ("rounds", "inner_rounds", "middle_rounds")


def shortened(path: Path, which: str, rounds: int) -> tuple[BandUNet, ModelCard]:
    """Give a model with so many rounds, and its card, without the figures it had."""
    card, given = reopened(path, vouched=True)
    settings = card.training["network"]
    before = UNetSize.named(settings["size"])
    had = getattr(before, which)
    if not 1 <= rounds <= had:
        raise UsageError(f"bad --{which.replace('_', '-')}", got=rounds, wanted=f"1 to {had}")
    size = dataclasses.replace(before, **{which: rounds})
    network = BandUNet(len(card.sources), size)
    network.load_state_dict(without_first_rounds(given.state_dict(), which, rounds))
    facts = {
        **card.training,
        "network": {**settings, "size": {**settings["size"], which: rounds}},
        "shortened": {"from": card.sha256, which: had},
    }
    return network, dataclasses.replace(
        card,
        training=facts,
        validation={},
        parameters=sum(weight.numel() for weight in network.parameters()),
        context_frames=size.context_frames,
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", type=Path)
    kinds = parser.add_mutually_exclusive_group(required=True)
    for kind in KINDS:
        kinds.add_argument(f"--{kind.replace('_', '-')}", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the card to write")
    arguments = parser.parse_args()
    which = next(kind for kind in KINDS if getattr(arguments, kind) is not None)
    network, card = shortened(arguments.card, which, getattr(arguments, which))
    save_model(network, dataclasses.replace(card, name=arguments.output.stem), arguments.output)


if __name__ == "__main__":
    main()
