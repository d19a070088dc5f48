"""Training recipes: a TOML file, checked key by key, and the training it describes."""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stemsplit import provenance
from stemsplit.cards import check_facts
from stemsplit.errors import InputError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from stemsplit.band_task import BandSettings
    from stemsplit.loop_settings import LoopSettings
    from stemsplit.material import StoredTrack
    from stemsplit.models import ModelCard
    from stemsplit.paper_task import PaperSettings
    from stemsplit.remix import RemixSettings
    from stemsplit.teacher import Teacher
    from stemsplit.team import Team
    from stemsplit.training import Training

ARCHITECTURES = ("paper", "band-unet")
_TABLES = ("training", "network", "remix")

_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class DataSource:
    """A collection to train on.

    Attributes
    ----------
    path:
        A folder in a layout of MUSDB18, see `stemsplit.dataset`. In a file, from its folder.
    weight:
        How often its songs are drawn, relative to those of other sources.
    coherent:
        Whether its tracks are whole songs; false for ones of single stems, which then only lend
        them to mixes of songs.
    backing:
        Whether the ``other`` of its tracks is all of a song but the voice, which nobody split. They
        teach to tell vocals from the rest, over a voice of their own or of another song.
    highest_hz:
        Where its recordings end, as half the sample rate they were made at does: above it nothing
        is learnt from an example that has a part of one. 0: they have all of the band.
    name, licence:
        For the model's card.
    """

    path: str
    weight: float = 1.0
    coherent: bool = True
    backing: bool = False
    highest_hz: float = 0.0
    name: str = ""
    licence: str = "unknown"

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise UsageError("bad weight", got=self.weight, wanted="a number above 0")
        if not 0 <= self.highest_hz < math.inf:
            raise UsageError("bad highest_hz", got=self.highest_hz, wanted="Hz, or 0 for no end")
        if self.backing and not self.coherent:
            raise UsageError("backing = true with coherent = false", remedy="leave one of them out")


@dataclass(frozen=True)
class Recipe:
    """What a training is made of.

    Attributes
    ----------
    architecture:
        ``band-unet`` (the compact network) or ``paper``.
    description, licence:
        For the model's card.
    data:
        Collections.
    training:
        Keys of `stemsplit.training.LoopSettings`.
    network:
        Keys of `stemsplit.band_task.BandSettings` or `stemsplit.paper_task.PaperSettings`.
    remix:
        Keys of `stemsplit.remix.RemixSettings`.
    """

    architecture: str = "band-unet"
    description: str = ""
    licence: str = "unknown"
    data: tuple[DataSource, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    remix: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            wanted = " or ".join(ARCHITECTURES)
            raise UsageError("bad architecture", got=self.architecture, wanted=wanted)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    UsageError
        A key or value that cannot be meant.
    """
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read recipe {path}", got=error, wanted="a TOML file") from error
    data = facts.pop("data", [])
    if not isinstance(data, list):
        raise UsageError("bad data", got=data, wanted="tables headed [[data]]")
    sources = [settings_from(DataSource, entry, "[[data]]") for entry in data]
    placed = [dataclasses.replace(s, path=str(path.parent / s.path)) for s in sources]
    return settings_from(Recipe, {**facts, "data": tuple(placed)}, str(path))


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Give the recipe with changes such as ``training.steps=100``, values as in TOML.

    Raises
    ------
    UsageError
        A change of another form.
    """
    tables = {name: dict(getattr(recipe, name)) for name in _TABLES}
    for change in changes:
        key, equals, value = change.partition("=")
        table, *inner = key.strip().split(".")
        *between, name = inner or [""]
        if not (equals and name and table in tables):
            wanted = ", ".join(f"{name}.KEY=VALUE" for name in _TABLES)
            raise UsageError("bad --set", got=change, wanted=wanted)
        place = tables[table]
        for step in between:  # a copy, as the recipe keeps its own
            there = place.get(step)
            place[step] = dict(there) if isinstance(there, dict) else {}
            place = place[step]
        try:
            place[name] = tomllib.loads(f"value = {value}")["value"]
        except ValueError:
            place[name] = value.strip()
    return dataclasses.replace(
        recipe, training=tables["training"], network=tables["network"], remix=tables["remix"]
    )


def settings_from(kind: type[_Settings], values: Any, where: str) -> _Settings:
    """Make a settings dataclass of a table, nested ones of nested tables.

    Raises
    ------
    UsageError
        An unknown key, or a value of another type.
    """
    if not isinstance(values, dict):
        raise UsageError(f"bad {where}", got=values, wanted="a table")
    types = typing.get_type_hints(kind)
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            raise UsageError(f"unknown key in {where}", got=key, wanted=", ".join(sorted(types)))
        known[key] = _typed(types[key], value, f"{where}: {key}")
    try:
        return kind(**known)
    except TypeError as error:  # a key that must be there is not
        raise UsageError(f"bad {where}", got=error) from error


def _typed(wanted: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        if isinstance(value, wanted):
            return value
        return settings_from(wanted, value, where)
    if typing.get_origin(wanted) is tuple:
        kind = typing.get_args(wanted)[0]
        if not isinstance(value, list | tuple):
            raise UsageError(f"bad {where}", got=repr(value), wanted=f"a list of {kind.__name__}")
        return tuple(_typed(kind, each, where) for each in value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = typing.get_origin(wanted) or wanted
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise UsageError(f"bad {where}", got=repr(value), wanted=f"{plain.__name__}")
    return value


def teacher_of(recipe: Recipe, card_path: Path) -> Teacher:
    """Load the model that a recipe's network is to learn from as well.

    Raises
    ------
    UsageError
        Bad settings; a teacher that does not fit; a network that learns from none.
    ModelError
        A teacher that is damaged, or that nobody has accepted.
    """
    from stemsplit.band_task import BandSettings
    from stemsplit.teacher import Teacher

    if recipe.architecture == "paper":
        raise UsageError("the paper's network learns from no teacher", got=card_path.stem)
    return Teacher(card_path, settings_from(BandSettings, recipe.network, "[network]"))


def settings_of(
    recipe: Recipe,
) -> tuple[LoopSettings, BandSettings | PaperSettings, RemixSettings]:
    """Give what a recipe's tables mean; raises `UsageError` where they cannot be meant."""
    from stemsplit.band_task import BandSettings
    from stemsplit.loop_settings import LoopSettings
    from stemsplit.paper_task import PaperSettings, check_split
    from stemsplit.remix import RemixSettings

    loop = settings_from(LoopSettings, recipe.training, "[training]")
    remix = settings_from(RemixSettings, recipe.remix, "[remix]")
    network: BandSettings | PaperSettings
    if recipe.architecture == "paper":
        check_split(recipe.data)
        network = settings_from(PaperSettings, recipe.network, "[network]")
    else:
        network = settings_from(BandSettings, recipe.network, "[network]")
    check_facts(network.card_facts())
    return loop, network, remix


def check_start(recipe: Recipe, start: Path) -> None:
    """See that a compact network can begin with the weights of a run or a card.

    Raises
    ------
    UsageError
        Bad settings.
    InputError, ModelError
        It cannot, see `stemsplit.checkpoints.fill`.
    """
    from stemsplit.band_task import BandSettings
    from stemsplit.checkpoints import fill
    from stemsplit.config import SOURCES
    from stemsplit.unet import BandUNet

    _, network, _ = settings_of(recipe)
    if isinstance(network, BandSettings):
        fill(BandUNet(len(SOURCES), network.size), start, dataclasses.asdict(network))


def training_of(
    recipe: Recipe,
    tracks: list[StoredTrack],
    valid: list[StoredTrack],
    folder: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    start: Path | None = None,
    teacher: Teacher | None = None,
    team: Team | None = None,
) -> Training:
    """Set a recipe's training up.

    Raises
    ------
    UsageError
        Bad settings; a resumed training with other ones.
    InputError, OutputError
        See `stemsplit.training.Training`; tracks of another sample rate.
    """
    from stemsplit.band_task import BandTask
    from stemsplit.device_remix import fits
    from stemsplit.material import check_rates, digest_of
    from stemsplit.paper_task import PaperSettings, PaperTask
    from stemsplit.training import Task, Training

    loop, network, remix = settings_of(recipe)
    check_rates([*tracks, *valid], network.sample_rate)
    task: Task
    held = False
    if isinstance(network, PaperSettings):
        task = PaperTask(network, tracks, valid, seed=loop.seed, remix=remix)
    else:
        elsewhere = device if device and device.type != "cpu" else None
        held = elsewhere is not None and not remix.reverb and fits(tracks, elsewhere)
        task = BandTask(
            network,
            tracks,
            valid,
            seed=loop.seed,
            remix=remix,
            teacher=teacher,
            measured_on=elsewhere,
            drawn_on=elsewhere if held else None,
        )
    facts: dict[str, Any] = {
        "architecture": recipe.architecture,
        "network": dataclasses.asdict(task.settings),
        "remix": dataclasses.asdict(remix),
        "start": start.name if start else None,
        "songs": {"training": digest_of(tracks), "validation": digest_of(valid)},
    }
    if held:
        facts["remixes"] = "made on the device"  # which sound alike, and are not the same
    if teacher:
        known = teacher.card
        facts["teacher"] = {"name": known.name, "sha256": known.sha256, "licence": known.licence}
    else:
        facts["network"].pop("teacher_share", None)  # which says nothing then
    training = Training(
        task, folder, loop, device=device, resume=resume, start=start, facts=facts, team=team
    )
    written = resume and (folder / provenance.FILE).exists()
    if training.team.rank == 0 and not written:
        earlier = provenance.learnt_by(start) if start else []
        if teacher:
            earlier = provenance.joined(earlier, teacher.card.data)
        provenance.write(folder, provenance.joined(_entries(recipe), earlier))
    return training


def export(training: Training, recipe: Recipe, network: torch.nn.Module, path: Path) -> ModelCard:
    """Write a finished training's network and its card, and give the card.

    The card names all that the weights have learnt from, before this training too.
    """
    from stemsplit.config import SOURCES
    from stemsplit.models import ModelCard, save_model

    finished = training.task.finished(network.cpu())
    best = training.best
    card = ModelCard(
        name=path.stem,
        description=recipe.description or f"a network of the kind {recipe.architecture}",
        architecture=recipe.architecture,
        sources=SOURCES,
        parameters=sum(weight.numel() for weight in finished.parameters()),
        sha256="",
        data=provenance.read(training.folder),
        licence=recipe.licence,
        training=training.facts,
        validation={"loss": best.loss, **best.figures} if best else {},
        **training.task.card_facts(),
    )
    return save_model(finished, card, path)


def _entries(recipe: Recipe) -> provenance.Entries:
    """Give a recipe's data as a card has them: without the folders they lie in."""
    entries = [dataclasses.asdict(source) for source in recipe.data]
    for entry in entries:
        entry["name"] = entry["name"] or Path(entry["path"]).resolve().name
        del entry["path"]
        if not entry["highest_hz"]:
            del entry["highest_hz"]
    return entries
