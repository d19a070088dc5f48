"""Model cards: the JSON beside a model's weights, what it may say, and its seal."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stemsplit.config import MAX_N_FFT, MIN_N_FFT, StftSettings
from stemsplit.errors import ModelError, StemsplitError, UsageError
from stemsplit.files import replaced

_MAX_CARD_BYTES: Final = 4 << 20

# Far beyond any sensible model, and low enough that no card makes a run ask for memory that a
# machine does not have.
_LIMITS: Final = {
    "sample_rate": (8_000, 192_000),
    "n_fft": (MIN_N_FFT, MAX_N_FFT),
    "hop_length": (1, MAX_N_FFT // 2),
    "bins": (1, MAX_N_FFT // 2 + 1),
    "context_frames": (0, 1024),
    "parameters": (1, 1 << 28),
    "bands": (0, 4096),
    "single_bands": (0, 4096),
    "frame_multiple": (1, 256),
}
_MAX_OVERLAP: Final = 32
_MAX_BANDS_BY_BINS: Final = 1 << 24  # numbers in the matrix between bands and bins
_MAX_SOURCES: Final = 16
# Both become the names of files.
_NAME: Final = re.compile(r"[^\W_][\w .+-]{0,99}")
_SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.IGNORECASE)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


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

    @property
    def seal(self) -> str:
        """SHA-256 of all that a separation depends on: the weights' hash and the geometry.

        Texts, data and figures are left out, so that they can be corrected.
        """
        told = {"name", "description", "architecture", "data", "licence", "training", "validation"}
        facts = {key: value for key, value in dataclasses.asdict(self).items() if key not in told}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises
    ------
    ModelError
        It is damaged, lacks a field, or says what no model can mean.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CARD_BYTES + 1)
        if len(text) > _MAX_CARD_BYTES:
            raise ValueError(f"more than {_MAX_CARD_BYTES >> 20} MiB")
        facts = json.loads(text.decode())
        card = ModelCard(**{**facts, "sources": tuple(facts["sources"])})
        _check(card)
    except StemsplitError as error:  # from the geometry
        raise _bad(path, str(error)) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _bad(path, "no JSON") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _bad(path, f"{type(error).__name__}: {error}") from error
    return card


def write_card(card: ModelCard, path: Path, remedy: str = "choose another --output") -> None:
    """Write a card as JSON; the remedy is for a place that cannot be written to."""
    with replaced(path, remedy) as temporary:
        temporary.write_text(
            json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def check_name(name: str) -> str:
    """Give a model's name back if it is one.

    Raises
    ------
    ModelError
        It is empty, long, or would not do for a file on every system.
    """
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise ModelError(
            "bad name of a model",
            got=ascii(name[:120]),
            wanted="up to 100 letters, digits, spaces and . _ + -, a letter or digit first",
        )
    return name


def check_facts(facts: Mapping[str, Any]) -> None:
    """See that a card may say so of a model's input and output, before hours of training.

    Raises
    ------
    UsageError
        It may not.
    """
    texts = {"name": "model", "description": "", "architecture": "", "sha256": "0" * 64}
    try:
        _check(ModelCard(**{**texts, "sources": ("vocals",), "parameters": 1, **facts}))
    except (StemsplitError, ValueError, TypeError) as error:
        raise UsageError("settings that no model may have", got=error) from error


def _bad(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"bad model card {path}", got=reason[:300], wanted="the JSON that stemsplit train writes"
    )


def _check(card: ModelCard) -> None:
    """Raise `ValueError`, or `StemsplitError`, for a card that cannot be meant."""
    check_name(_of(str, card.name, "name"))
    for key in ("description", "architecture", "licence", "sha256"):
        _of(str, getattr(card, key), key)
    for key in ("training", "validation"):
        _of(Mapping, getattr(card, key), key)
    for entry in _of(list, card.data, "data"):
        _of(Mapping, entry, "data")
    _of(bool, card.soft, "soft")
    for key, (low, high) in _LIMITS.items():
        number = getattr(card, key)
        if type(number) is not int or not low <= number <= high:
            raise ValueError(f"{key} is {_short(number)}, not {low} to {high}")
    if not _SHA256.fullmatch(card.sha256):
        raise ValueError(f"sha256 is {_short(card.sha256)}, not 64 hexadecimal digits")
    _check_sources(card.sources)
    _check_geometry(card)


def _check_sources(sources: tuple[Any, ...]) -> None:
    if not 1 <= len(sources) <= _MAX_SOURCES or len(set(sources)) < len(sources):
        raise ValueError(f"sources are {len(sources)}, not 1 to {_MAX_SOURCES} different ones")
    for source in sources:
        if not _SOURCE.fullmatch(_of(str, source, "sources")):
            raise ValueError(f"sources hold {_short(source)}, which is no name for a file")


def _check_geometry(card: ModelCard) -> None:
    if card.hop_length * _MAX_OVERLAP < card.n_fft:
        raise ValueError(f"hop_length is {card.hop_length}, less than n_fft / {_MAX_OVERLAP}")
    if card.bins > card.settings.bins:
        raise ValueError(f"bins are {card.bins}, and n_fft gives {card.settings.bins}")
    power = card.magnitude_power
    if type(power) not in (int, float) or not (math.isfinite(power) and 0 < power <= 4):
        raise ValueError(f"magnitude_power is {_short(power)}, not more than 0 and at most 4")
    if card.bands:
        if not 0 < card.single_bands <= card.bands <= card.bins:
            raise ValueError("not 0 < single_bands <= bands <= bins")
        if card.single_bands == card.bands < card.bins:
            raise ValueError("all bands are single bins, and bins are more")
        if card.bands * card.bins > _MAX_BANDS_BY_BINS:
            raise ValueError(f"bands by bins are {card.bands * card.bins}")


def _of(kind: Any, value: Any, key: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{key} is {_short(value)}")
    return value


def _short(value: object) -> str:
    try:
        return ascii(value)[:60]
    except ValueError:  # an integer of thousands of digits, which Python will not print
        return "a huge number"
