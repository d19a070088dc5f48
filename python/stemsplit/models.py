"""Models on disk: finds, loads and saves TorchScript weights with their cards."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit import trust
from stemsplit.archive import MAX_WEIGHTS_BYTES, check_archive, without_origins
from stemsplit.cards import ModelCard, read_card, write_card
from stemsplit.errors import ModelError
from stemsplit.files import replaced

if TYPE_CHECKING:
    import torch

__all__ = [
    "DEFAULT_MODEL",
    "ModelCard",
    "find_card",
    "load_network",
    "own_models",
    "packaged_models",
    "read_card",
    "read_model",
    "save_model",
    "write_card",
]

DEFAULT_MODEL = "base"


def packaged_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(path.stem for path in trust.WEIGHTS_FOLDER.glob("*.json"))


def own_models() -> list[str]:
    """Names of the models that ``stemsplit models add`` has put into the user's folder."""
    names = (path.stem for path in trust.models_folder().glob("*.json"))
    return sorted(set(names) - set(packaged_models()))


def find_card(model: str) -> Path:
    """Find a model's card by its name, or by the path of its JSON card.

    Raises
    ------
    ModelError
        No such model.
    """
    packaged, own = packaged_models(), own_models()
    if model in packaged:
        return trust.WEIGHTS_FOLDER / f"{model}.json"
    if model in own:
        return trust.models_folder() / f"{model}.json"
    if model.endswith(".json") and Path(model).is_file():
        return Path(model)
    names = ", ".join([*packaged, *own])
    if model.endswith(".json") or "/" in model:
        raise ModelError("no such model card", got=model, wanted=f"a .json card, or {names}")
    raise ModelError(
        "unknown model", got=model, wanted=f"{names} or a path of a model's .json card"
    )


def read_model(card_path: Path) -> tuple[ModelCard, bytes]:
    """Read a model's card and weights, and see that they belong together; nothing is run.

    Raises
    ------
    ModelError
        Weights that are missing, huge, do not have the card's SHA-256 or are no TorchScript.
    """
    card = read_card(card_path)
    weights = card_path.with_suffix(".pt")
    try:
        with weights.open("rb") as file:
            data = file.read(MAX_WEIGHTS_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"no weights for model {card.name}", got=error.strerror, wanted=f"the file {weights}"
        ) from error
    if len(data) > MAX_WEIGHTS_BYTES:
        raise ModelError(
            f"weights {weights} are too large", wanted=f"at most {MAX_WEIGHTS_BYTES >> 20} MiB"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"weights {weights} are not those of their card",
            got=f"SHA-256 {digest[:16]}…",
            wanted=f"{card.sha256[:16]}…",
            remedy="install stemsplit again, or copy the model again",
        )
    check_archive(data, str(weights))
    return card, data


def load_network(
    card_path: Path, device: torch.device, trusted_sha256: str | None = None
) -> tuple[ModelCard, torch.jit.ScriptModule]:
    """Load a model's network, in evaluation mode, if it is known and whole.

    Parameters
    ----------
    card_path, device:
        Its card, and where to load it to.
    trusted_sha256:
        SHA-256 of weights that the caller vouches for, beside those that `trust` knows. The card
        is then checked against the network, which takes a moment.

    Raises
    ------
    ModelError
        See `read_model`; a model nobody has accepted, or whose card does not fit its network.
    """
    card, data = read_model(card_path)
    vouched = trusted_sha256 == card.sha256
    if not vouched:
        trust.check_known(card, card_path)
    network = open_network(data, card, device)
    if vouched:
        from stemsplit.probe import check_network

        check_network(card, network, device)
    return card, network


def open_network(data: bytes, card: ModelCard, device: torch.device) -> torch.jit.ScriptModule:
    """Give the network in bytes that `read_model` has read; whoever calls this trusts its code.

    It is float32, however its weights are stored.

    Raises
    ------
    ModelError
        Torch cannot make a network of it, or one with another number of parameters.
    """
    import torch

    try:
        with quiet_torchscript():
            network: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
                io.BytesIO(data), map_location=device
            )
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"cannot load the network of model {card.name}", got=str(error).strip().split("\n")[0]
        ) from error
    parameters = sum(weight.numel() for weight in network.parameters())
    if parameters != card.parameters:
        raise ModelError(
            f"the card of model {card.name} does not fit its weights",
            got=f"{parameters} parameters",
            wanted=f"{card.parameters}",
        )
    return network.float().eval()


def save_model(
    network: torch.nn.Module, card: ModelCard, card_path: Path, *, half: bool = False
) -> ModelCard:
    """Export a network to TorchScript beside its card, and give the card with its hash.

    The weights are in place before the card that names their hash. With ``half`` its matrices are
    stored as float16, in half the bytes, and rounded to 11 bits thereby.
    """
    import torch

    if half:
        network = copy.deepcopy(network)
        for weight in network.parameters():
            if weight.ndim > 1:  # the rest is small, and statistics may be too small for float16
                weight.data = weight.data.half()
    weights = card_path.with_suffix(".pt")
    saved = io.BytesIO()
    with quiet_torchscript():
        torch.jit.save(torch.jit.script(network.eval()), saved)
    with replaced(weights) as temporary:
        temporary.write_bytes(without_origins(saved.getvalue()))
    sealed = dataclasses.replace(card, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    write_card(sealed, card_path)
    return sealed


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence PyTorch's notice that TorchScript is in maintenance: it is what we ship on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        yield
