"""Makes the masks of a trained compact network less sure of themselves.

    python recipes/soften_model.py CARD.json --by 0.85 -o run/base.json

gives a model whose masks are those of the card's to the power 0.85, brought to sum to 1 again, and
a card that says so. A network is too sure of itself in songs it has not heard (Guo et al., "On
calibration of modern neural networks", ICML 2017). What hard masks decide stays as it was.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from stemsplit.cards import ModelCard
from stemsplit.growth import reopened
from stemsplit.models import save_model
from stemsplit.unet import BandUNet


def softened(path: Path, power: float) -> tuple[BandUNet, ModelCard]:
    """Give a model with its masks to a power, and its card, without the figures it had."""
    card, network = reopened(path, vouched=True)
    with torch.no_grad():  # masks are a softmax: what it takes is their logarithm, but for a sum
        for weights in network.end.parameters():
            weights.mul_(power)
    facts = {**card.training, "softened": {"from": card.sha256, "by": power}}
    return network, dataclasses.replace(card, training=facts, validation={})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", type=Path)
    parser.add_argument("--by", type=float, required=True, help="power of the masks, 0 to 1")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the card to write")
    arguments = parser.parse_args()
    if not 0 < arguments.by <= 1:
        parser.error(f"--by: got {arguments.by}, wanted above 0, at most 1")
    network, card = softened(arguments.card, arguments.by)
    save_model(network, dataclasses.replace(card, name=arguments.output.stem), arguments.output)


if __name__ == "__main__":
    main()
