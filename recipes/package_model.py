"""Puts a trained model into the package and lets the code vouch for it.

    python recipes/package_model.py run/mine.json --name tiny

copies the card and the weights beside it to ``python/stemsplit/weights/NAME.*`` after a look at
whether they fit, and writes ``python/stemsplit/packaged.py``. A compact network is exported anew,
with the code of this checkout. ``--half`` stores the matrices in half the bytes, for large models;
figures belong to what is stored, so evaluate it after that.
Without a card it only writes ``packaged.py`` anew, for models that lie in the folder already.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import sys
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "stemsplit"
sys.path.insert(0, str(PACKAGE.parent))  # the package of this checkout, not an installed one

from stemsplit.cards import write_card  # noqa: E402 (its place is set just before)
from stemsplit.growth import reopened  # noqa: E402
from stemsplit.library import Candidate, verify  # noqa: E402
from stemsplit.models import open_network, read_model, save_model  # noqa: E402


def package(card_path: Path, name: str, *, half: bool) -> None:
    """Copy a model into the package under a name."""
    target = PACKAGE / "weights" / f"{name}.json"
    card, weights = read_model(card_path)
    if card.architecture == "band-unet":
        _, network = reopened(card_path, vouched=True)
        save_model(network, dataclasses.replace(card, name=name), target, half=half)
        return
    card = dataclasses.replace(card, name=name)
    if half:
        save_model(open_network(weights, card, torch.device("cpu")), card, target, half=True)
        return
    if card_path.resolve() != target:
        shutil.copyfile(card_path.with_suffix(".pt"), target.with_suffix(".pt"))
    write_card(card, target)


def vouch() -> None:
    """Write the seals of all models in the package's folder, each after a look at it."""
    seals = {}
    for path in sorted((PACKAGE / "weights").glob("*.json")):
        candidate = Candidate(*read_model(path), path)
        verify(candidate)
        seals[path.stem] = candidate.card.seal
    module = PACKAGE / "packaged.py"
    table = "".join(f'    "{name}": "{seal}",\n' for name, seal in seals.items())
    text = module.read_text(encoding="utf-8")
    text = re.sub(
        r"(?<=SEALS: Final = \{\n).*?(?=^\})", table, text, flags=re.DOTALL | re.MULTILINE
    )
    module.write_text(text, encoding="utf-8")
    print("\n".join(f"{name}: {seal}" for name, seal in seals.items()))


def main() -> None:
    """Package the model that the command line names, and write the seals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", nargs="?", type=Path, help="NAME.json, its NAME.pt beside it")
    parser.add_argument("--name", help="what the package calls it; as the card's file by default")
    parser.add_argument("--half", action="store_true", help="store matrices as float16")
    arguments = parser.parse_args()
    if arguments.card is not None:
        package(arguments.card, arguments.name or arguments.card.stem, half=arguments.half)
    vouch()


if __name__ == "__main__":
    main()
