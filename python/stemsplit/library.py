"""The user's own models: accepts, adds and removes them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from stemsplit import trust
from stemsplit.cards import ModelCard, check_name, read_card, write_card
from stemsplit.errors import ModelError, UsageError, output_error
from stemsplit.files import replaced
from stemsplit.models import open_network, own_models, packaged_models, read_model


@dataclass(frozen=True)
class Candidate:
    """A model that was read but not run: its card, its weights' bytes and where it is."""

    card: ModelCard
    weights: bytes
    path: Path


def examine(card_path: Path, name: str | None = None) -> Candidate:
    """Read a model that may be added, without running it.

    Parameters
    ----------
    card_path:
        Its card.
    name:
        What to call it; by default what it calls itself.

    Raises
    ------
    UsageError
        A name that is taken.
    ModelError
        See `stemsplit.models.read_model`.
    """
    if not card_path.is_file():
        raise ModelError(
            f"no model card {card_path}", wanted="the path of a .json card, its .pt beside it"
        )
    card, weights = read_model(card_path)
    if name is not None:
        card = dataclasses.replace(card, name=check_name(name))
    remedy = "choose another with --name"
    taken = card.name.casefold() in packaged_models()
    # By another name too, where a file system knows no capitals.
    same = [own for own in own_models() if own.casefold() == card.name.casefold()]
    if not taken and same:
        taken = same != [card.name] or read_card(_card_path(card.name)).sha256 != card.sha256
        remedy += f", or remove it: stemsplit models remove {same[0]}"
    if taken:
        raise UsageError("a model of this name is there already", got=card.name, remedy=remedy)
    return Candidate(card, weights, card_path)


def verify(candidate: Candidate) -> None:
    """Run a model's network once, on the CPU, to see that its card tells the truth.

    Raises
    ------
    ModelError
        It does not.
    """
    import torch

    from stemsplit.probe import check_network

    cpu = torch.device("cpu")
    check_network(candidate.card, open_network(candidate.weights, candidate.card, cpu), cpu)


def accept(card_path: Path) -> ModelCard:
    """Accept a model where it is, after a look at it; give its card.

    Raises
    ------
    ModelError
        It is damaged, or its card does not fit its weights.
    OutputError
        The user's folder cannot be written to.
    """
    candidate = Candidate(*read_model(card_path), card_path)
    verify(candidate)
    trust.accept(candidate.card)
    return candidate.card


def add(candidate: Candidate) -> Path:
    """Verify a model and copy it into the user's folder; give its card's new place.

    The bytes written are those that were examined. The weights come first, then the card, then
    the record without which neither is used.

    Raises
    ------
    ModelError
        Its card does not fit its weights.
    OutputError
        The folder cannot be written to.
    """
    verify(candidate)
    card_path = _card_path(candidate.card.name)
    with replaced(card_path.with_suffix(".pt"), trust.OTHER_FOLDER) as temporary:
        temporary.write_bytes(candidate.weights)
    write_card(candidate.card, card_path, trust.OTHER_FOLDER)
    trust.accept(candidate.card)
    return card_path


def remove(model: str) -> bool:
    """Remove one of the user's models by its name, or only forget one that is named by its card.

    Returns
    -------
    bool
        Whether files were removed.

    Raises
    ------
    ModelError
        It is none of the user's.
    OutputError
        The files cannot be removed.
    """
    own = own_models()
    if model in own:
        path = _card_path(model)
        try:
            card = read_card(path)
        except ModelError:  # a damaged card is removed all the same
            pass
        else:
            if not _others_of(card, path):
                trust.forget(card)
        for file in (path, path.with_suffix(".pt")):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise output_error(file, error, trust.OTHER_FOLDER) from error
        return True
    if model.endswith(".json") and Path(model).is_file() and trust.forget(read_card(Path(model))):
        return False
    raise ModelError(
        "no such model of yours",
        got=model,
        wanted=", ".join(own) or "one that was added with stemsplit models add",
    )


def _others_of(card: ModelCard, path: Path) -> bool:
    """Tell whether another of the user's models has the same weights, by another name."""
    for name in own_models():
        try:
            if _card_path(name) != path and read_card(_card_path(name)).sha256 == card.sha256:
                return True
        except ModelError:  # a damaged card
            continue
    return False


def _card_path(name: str) -> Path:
    return trust.models_folder() / f"{name}.json"
