"""Models on disk: TorchScript weights, and a JSON card that says what they are and their hash."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsplit.config import StftSettings
from stemsplit.errors import ModelError
from stemsplit.files import replaced

if TYPE_CHECKING:
    import torch

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
DEFAULT_MODEL = "tiny"


@dataclass(frozen=True)
class ModelCard:
    """What a model is. The JSON beside its weights holds these fields.

    Attributes
    ----------
    name, description, architecture:
        For people.
    sources:
        The stems it predicts, in its output's order.
    sample_rate, n_fft, hop_length:
        The spectrogram it was trained on.
    bins:
        Lowest bins it sees and predicts.
    context_frames:
        Frames it needs on each side of a predicted frame.
    magnitude_power:
        Exponent its input magnitudes are compressed with.
    parameters:
        Trainable parameters, all sources together.
    soft:
        Whether its masks are probabilities unless one asks otherwise.
    bands, single_bands:
        Bands of its input and output, and how many of the lowest are single bins; 0 for a network
        that works on bins.
    frame_multiple:
        Its input's frames, context included, are a multiple of it.
    sha256:
        Of the weights file.
    data:
        What it was trained on: a list of objects with name, licence and more.
    licence:
        What the data's licences mean for its use.
    training, validation:
        How it was trained, and figures on the validation songs.
    """

    name: str
    description: str
    architecture: str
    sources: tuple[str, ...]
    sample_rate: int
    n_fft: int
    hop_length: int
    bins: int
    context_frames: int
    magnitude_power: float
    parameters: int
    sha256: str
    soft: bool = False
    bands: int = 0
    single_bands: int = 0
    frame_multiple: int = 1
    data: list[dict[str, Any]] = field(default_factory=list)
    licence: str = "unknown"
    training: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)

    @property
    def rest(self) -> int:
        """Index of the stem for what is none of the others: ``other``, or the last."""
        names = self.sources
        return names.index("other") if "other" in names else len(names) - 1

    @property
    def settings(self) -> StftSettings:
        """The spectrogram's geometry."""
        return StftSettings(self.sample_rate, self.n_fft, self.hop_length)


def packaged_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.json"))


def find_card(model: str) -> Path:
    """Find a model's card by its packaged name, or by the path of its JSON card.

    Raises
    ------
    ModelError
        No such model.
    """
    names = packaged_models()
    if model in names:
        return WEIGHTS_FOLDER / f"{model}.json"
    if model.endswith(".json") and Path(model).is_file():
        return Path(model)
    raise ModelError(
        "unknown model", got=model, wanted=f"{', '.join(names)} or the path of a model's .json card"
    )


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises
    ------
    ModelError
        It is damaged or lacks a field.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return ModelCard(**{**facts, "sources": tuple(facts["sources"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"bad model card {path}",
            got=f"{type(error).__name__}: {error}",
            wanted="the JSON that stemsplit train writes",
        ) from error


def load_network(card_path: Path, device: torch.device) -> tuple[ModelCard, torch.jit.ScriptModule]:
    """Load a model's network, in evaluation mode, after its weights have been verified.

    Raises
    ------
    ModelError
        Weights that are missing or do not have the card's SHA-256.
    """
    card = read_card(card_path)
    weights = card_path.with_suffix(".pt")
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise ModelError(
            f"no weights for model {card.name}", got=error.strerror, wanted=f"the file {weights}"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"weights {weights} are not those of their card",
            got=f"SHA-256 {digest[:16]}…",
            wanted=f"{card.sha256[:16]}…",
            remedy="install stemsplit again, or copy the model again",
        )
    import torch

    with quiet_torchscript():
        network: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(data), map_location=device
        )
    return card, network.eval()


def save_model(network: torch.nn.Module, card: ModelCard, card_path: Path) -> ModelCard:
    """Export a network to TorchScript beside its card, and give the card with its hash.

    The weights are in place before the card that names their hash.
    """
    import torch

    weights = card_path.with_suffix(".pt")
    with replaced(weights) as temporary, quiet_torchscript():
        torch.jit.save(torch.jit.script(network.eval()), str(temporary))
    sealed = dataclasses.replace(card, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    write_card(sealed, card_path)
    return sealed


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as JSON."""
    with replaced(path) as temporary:
        temporary.write_text(
            json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence PyTorch's notice that TorchScript is in maintenance: it is what we ship on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        yield
