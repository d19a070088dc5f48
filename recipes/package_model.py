"""Puts a trained model into the package and lets the code vouch for it.

    python recipes/package_model.py run/mine.json --name tiny

copies the card and the weights beside it to ``python/stemsplit/weights/NAME.*`` after a look at
whether they fit, and writes ``python/stemsplit/packaged.py``. Without a card it only writes that
file anew, for models that lie in the folder already.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "stemsplit"
sys.path.insert(0, str(PACKAGE.parent))  # the package of this checkout, not an installed one

from stemsplit.cards import read_card, write_card  # noqa: E402 (its place is set just before)
from stemsplit.library import Candidate, verify  # noqa: E402
from stemsplit.models import read_model  # noqa: E402


def package(card_path: Path, name: str) -> None:
    """Copy a model into the package under a name."""
    target = PACKAGE / "weights" / f"{name}.json"
    card = dataclasses.replace(read_card(card_path), name=name)
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
    parser.add_argument("--name", help="what the package calls it; the card's name by default")
    arguments = parser.parse_args()
    if arguments.card is not None:
        package(arguments.card, arguments.name or arguments.card.stem)
    vouch()


if __name__ == "__main__":
    main()
