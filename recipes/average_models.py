"""Averages the weights of two trainings of the compact network, one begun from the other.

    python recipes/average_models.py EARLIER.json LATER.json --share 0.7 -o run/base.json

gives the later one's weights the share and the earlier one's the rest, and a card that says so.
While both lie in one valley of the loss, a point between them serves songs they have not heard a
little better than either (Wortsman et al., "Model soups", ICML 2022; "Robust fine-tuning of
zero-shot models", CVPR 2022). An earlier, smaller network is grown first, as ``--start`` does.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from stemsplit.cards import ModelCard
from stemsplit.growth import embed, reopened
from stemsplit.models import save_model
from stemsplit.provenance import joined
from stemsplit.unet import BandUNet
from stemsplit.unet_size import UNetSize


def averaged(earlier: Path, later: Path, share: float) -> tuple[BandUNet, ModelCard]:
    """Give the average of two models and its card, without the figures of either."""
    (first, small), (card, network) = (reopened(path, vouched=True) for path in (earlier, later))
    # Of the channels that the earlier one lacks, as the later one began with them.
    torch.manual_seed(card.training.get("training", {}).get("seed", 0))
    size = UNetSize.named(card.training["network"]["size"])
    grown = BandUNet(len(card.sources), size)
    embed(grown, small.state_dict())
    others = grown.state_dict()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(others[name], 1 - share)
    note = {"earlier": first.sha256, "later": card.sha256, "share": share}
    facts = {**card.training, "averaged": note}
    data = joined(card.data, first.data)
    return network, dataclasses.replace(card, training=facts, validation={}, data=data)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the later one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the card to write")
    arguments = parser.parse_args()
    if not 0 <= arguments.share <= 1:
        parser.error(f"--share: got {arguments.share}, wanted 0 to 1")
    network, card = averaged(arguments.earlier, arguments.later, arguments.share)
    save_model(network, dataclasses.replace(card, name=arguments.output.stem), arguments.output)


if __name__ == "__main__":
    main()
