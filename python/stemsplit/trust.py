"""Which models may be run: those of the package, and those that this user has accepted.

TorchScript is code. A model is known by the seal of its card, which holds the SHA-256 of its
weights and its geometry: what was checked once, when it was accepted, needs no check again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

from stemsplit.cards import ModelCard
from stemsplit.errors import ModelError, output_error
from stemsplit.files import replaced, user_folder
from stemsplit.packaged import SEALS

VARIABLE: Final = "STEMSPLIT_MODELS"
"""Environment variable for another place than `models_folder`'s own."""
OTHER_FOLDER: Final = f"set {VARIABLE} to another folder"
"""What to do where the folder cannot be written to."""

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Where the packaged models are."""


def models_folder() -> Path:
    """Give the folder of the user's own models, whether or not it is there.

    It is ``$STEMSPLIT_MODELS``; else ``$XDG_DATA_HOME/stemsplit/models``, where that variable is an
    absolute path; else ``~/.local/share/stemsplit/models``.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))  # noqa: PTH111 (which fails for nobody's home)
    return user_folder("data") / "models"


def check_known(card: ModelCard, card_path: Path) -> None:
    """See that a model may be run.

    Parameters
    ----------
    card:
        Its card, whose hash the weights have.
    card_path:
        Where the card is: a packaged one has to have the seal of its name.

    Raises
    ------
    ModelError
        It is not the packaged one of its name, was not accepted, or its card has changed since.
    """
    if card_path.parent == WEIGHTS_FOLDER:
        if SEALS.get(card_path.stem) != card.seal:
            raise ModelError(
                f"packaged model {card_path.stem} is not the one that was packaged",
                got=f"SHA-256 {card.sha256[:16]}…",
                remedy="install stemsplit again",
            )
        return
    seals = _accepted_seals(card.sha256)
    if card.seal in (*seals, *SEALS.values()):
        return
    unknown = not seals
    raise ModelError(
        f"model {card.name} is code that {'nobody has accepted' if unknown else 'has changed'}",
        got=f"SHA-256 {card.sha256[:16]}…" if unknown else "a card that was accepted otherwise",
        wanted="a packaged model, or one of yours",
        remedy=f'if you trust where it is from: stemsplit models add "{card_path}"',
    )


def accept(card: ModelCard) -> None:
    """Keep in mind that a model, whose card fits its weights, may be run.

    Raises
    ------
    OutputError
        The user's folder cannot be written to.
    """
    path = _record(card.sha256)
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    facts: dict[str, Any] = {"name": card.name, "seal": card.seal, "accepted": when}
    others = [seal for seal in _accepted_seals(card.sha256) if seal != card.seal]
    if others:  # cards of the same weights, such as for hard masks and for soft ones
        facts["others"] = others
    with replaced(path, OTHER_FOLDER) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def forget(card: ModelCard) -> bool:
    """Take back what `accept` did for all cards of a model's weights; tell whether it had."""
    path = _record(card.sha256)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise output_error(path, error, OTHER_FOLDER) from error
    return True


def _accepted_seals(sha256: str) -> list[str]:
    try:
        facts = json.loads(_record(sha256).read_bytes())
        seals = [facts["seal"], *facts.get("others", [])]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # none, or damaged
        return []
    return [seal for seal in seals if isinstance(seal, str)]


def _record(sha256: str) -> Path:
    return models_folder() / "accepted" / f"{sha256}.json"
