"""Leaves rounds of a trained compact network out.

    python recipes/fewer_rounds.py CARD.json --rounds 3 -o run/tiny.json

gives a model whose blocks run that often, as if the first of its rounds were not, and a card that
says so. A network that was trained with more may hardly miss them, and is faster without.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from stemsplit.cards import ModelCard, read_card
from stemsplit.errors import UsageError
from stemsplit.growth import without_first_rounds
from stemsplit.models import load_network, save_model
from stemsplit.unet import BandUNet, UNetSize


def shortened(path: Path, rounds: int) -> tuple[BandUNet, ModelCard]:
    """Give a model with so many rounds, and its card, without the figures it had."""
    card, given = load_network(path, torch.device("cpu"), trusted_sha256=read_card(path).sha256)
    settings = card.training["network"]
    before = UNetSize.named(settings["size"])
    if not 1 <= rounds <= before.rounds:
        raise UsageError("bad --rounds", got=rounds, wanted=f"1 to {before.rounds}")
    size = dataclasses.replace(before, rounds=rounds)
    network = BandUNet(len(card.sources), size)
    network.load_state_dict(without_first_rounds(given.state_dict(), rounds))
    facts = {
        **card.training,
        "network": {**settings, "size": {**settings["size"], "rounds": rounds}},
        "shortened": {"from": card.sha256, "rounds": before.rounds},
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
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the card to write")
    arguments = parser.parse_args()
    network, card = shortened(arguments.card, arguments.rounds)
    save_model(network, dataclasses.replace(card, name=arguments.output.stem), arguments.output)


if __name__ == "__main__":
    main()
