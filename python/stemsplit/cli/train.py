"""``stemsplit train``: a recipe, its training's progress, and the model it ends with."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.process import tune_process
from stemsplit.errors import output_error
from stemsplit.files import replaced

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from torch import nn

    from stemsplit.material import StoredTrack
    from stemsplit.recipe import Recipe
    from stemsplit.team import Team
    from stemsplit.training import Training, TrainingEvent, Validation

# What a run calls its own files, but for their endings; the model lies beside them.
RESERVED = ("best", "checkpoint", "data")
LOG = "log.csv"
_COLUMNS = ["step", "loss", "learning_rate", "seconds", "validation_loss"]
PLOT = "log.svg"
_AVERAGED_STEPS = 50


def train(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder of the run: checkpoints and the model."
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            readable=False, metavar="DATA", help="Folders of tracks, beside the recipe's own."
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", "-r", metavar="FILE", help="TOML: docs/training.md tells."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: training.steps=800."),
    ] = None,
    valid: Annotated[
        list[Path] | None,
        typer.Option(
            "--valid",
            metavar="FOLDER",
            help="Folder of tracks that choose the best weights; repeatable.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="The model's name.")] = "model",
    device: Annotated[
        str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", metavar="N", min=1, help="CPU threads of the network; all by default."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="FOLDER", help="Folder of decoded stems; OUTPUT/store by default."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="PATH",
            help="Begin with the weights of a run's folder or a model's card.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="MODEL", help="Learn from a model's answers as well."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw OUTPUT/log.svg too, anew at every validation.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> int:
    """Train a network on songs with their stems.

    A collection is a folder in a layout of MUSDB18: .stem.mp4 files, or a folder per song with
    vocals, drums, bass and other (and mixture) as WAV, FLAC or OGG. The run ends with
    OUTPUT/NAME.pt and its card OUTPUT/NAME.json, which --model takes; OUTPUT/log.csv holds every
    step's loss.
    """
    from stemsplit.checkpoints import check_folder
    from stemsplit.models import find_card
    from stemsplit.recipe import check_start, export, settings_of, teacher_of, training_of

    _check_name(name)
    chosen = _chosen(recipe, changes or [], data or [])
    # What can be wrong is found out before the songs are decoded.
    settings_of(chosen)
    check_folder(output, resume=resume)
    _check_start(start)
    if start is not None and not resume:
        check_start(chosen, start)
    guide_card = find_card(teacher) if teacher else None
    tune_process()
    from stemsplit.cli.consoles import StderrConsole
    from stemsplit.team import join
    from stemsplit.training_plot import empty_figure

    if plot:
        empty_figure()
    target = _target(device, threads)
    with _memory_named(), join(target) as team:
        console = StderrConsole(quiet=quiet or team.rank > 0)
        folder = store or output / "store"
        guide = teacher_of(chosen, guide_card) if guide_card else None
        tracks, held_out = _stored(chosen, valid or [], folder, console, team)
        training = training_of(
            chosen,
            tracks,
            held_out,
            output,
            device=target,
            resume=resume,
            start=start,
            teacher=guide,
            team=team,
        )
        network = _trained(training, output, console, plot=plot)
        if team.rank == 0:
            export(training, chosen, network, output / f"{name}.json")
            _accept(output / f"{name}.json", console)
    console.print(f"model in {output / name}.json", highlight=False, soft_wrap=True)
    return 0


def _check_name(name: str) -> None:
    """See that a model may be called so; raises `UsageError`."""
    from stemsplit.cards import check_name
    from stemsplit.errors import ModelError, UsageError
    from stemsplit.packaged import SEALS

    try:
        check_name(name)
    except ModelError as error:  # of a card it would be a damaged model
        raise UsageError("bad --name", got=error.got, wanted=error.wanted) from error
    if name.casefold() in RESERVED:
        raise UsageError(
            "a run keeps files of its own under this name", got=name, remedy="choose another --name"
        )
    if name.casefold() in SEALS:
        raise UsageError(
            "a model of the package has this name", got=name, remedy="choose another --name"
        )


def _check_start(start: Path | None) -> None:
    from stemsplit.errors import InputError

    if start is not None and not start.exists():
        raise InputError(f"no such --start: {start}", wanted="a run's folder, or a model's card")


def _chosen(recipe: Path | None, changes: list[str], data: list[Path]) -> Recipe:
    """Give the recipe of a file, or the usual one, with what the command line changes of it."""
    from stemsplit.recipe import DataSource, Recipe, changed, read_recipe

    chosen = changed(read_recipe(recipe) if recipe else Recipe(), changes)
    added = tuple(DataSource(str(folder)) for folder in data)
    return dataclasses.replace(chosen, data=chosen.data + added)


def _target(device: str, threads: int | None) -> torch.device:
    """Give the device of this process, set up to train on."""
    import torch

    from stemsplit.infer import choose_device
    from stemsplit.team import local_device

    target = local_device(choose_device(device))
    if threads is not None:
        torch.set_num_threads(threads)
    if target.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as cuDNN's convolutions take already
    return target


def _trained(training: Training, output: Path, console: Console, *, plot: bool) -> nn.Module:
    """Train to the end; the team's first process shows and logs it."""
    from stemsplit.training_plot import plot_log

    if training.team.rank:
        return training.run()
    log = _log(output / LOG, done=training.step)
    with _progress(training, console) as show:

        def report(event: TrainingEvent) -> None:
            log(event)
            show(event)
            if plot and event.validation:
                with _no_reason_to_fail(console):
                    plot_log(output / LOG, output / PLOT)

        return training.run(report)


@contextmanager
def _memory_named() -> Iterator[None]:
    """Say what to change of a recipe where memory is out, of the machine or of the device."""
    import torch

    from stemsplit.errors import OutOfMemoryError

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        out = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not out and "DefaultCPUAllocator" not in str(error):
            raise
        remedy = (
            "set a smaller batch_size or fewer frames in [network], or validate on shorter songs"
        )
        raise OutOfMemoryError("out of memory", remedy=remedy) from error


def _accept(card_path: Path, console: Console) -> None:
    """Let the user run the model: its code is of this program's own making."""
    from stemsplit.library import accept

    with _no_reason_to_fail(console, f'; stemsplit models add "{card_path}" makes up for it'):
        accept(card_path)


@contextmanager
def _no_reason_to_fail(console: Console, remedy: str = "") -> Iterator[None]:
    """Warn of a place that cannot be written to, where hours of work would be lost by it."""
    from stemsplit.errors import OutputError

    try:
        yield
    except OutputError as error:
        console.print(f"warning: {error}{remedy}", markup=False, highlight=False, soft_wrap=True)


def _stored(
    recipe: Recipe, valid: list[Path], store: Path, console: Console, team: Team
) -> tuple[list[StoredTrack], list[StoredTrack]]:
    """Decode what is to be decoded; all but the team's first process find it done."""
    from rich.progress import Progress

    from stemsplit.recipe_data import stored

    if team.rank:
        team.told(None)
    with Progress(console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("decoding", total=None)
        both = stored(recipe, valid, store, lambda n, of: bar.update(task, completed=n, total=of))
    if team.rank == 0:
        team.told(None)
    return both


def _steps_up_to(path: Path, done: int) -> list[list[str]]:
    """Give the whole rows of a log up to a step; none where there is no log."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
    except FileNotFoundError:
        return []
    return [row for row in rows if len(row) == len(_COLUMNS) and int(row[0]) <= done]


def _log(path: Path, *, done: int) -> Callable[[TrainingEvent], None]:
    """Give what adds a step to the run's CSV file, in which those after the ``done`` are dropped.

    A killed run logged steps that its last checkpoint does not have, the last perhaps in part.
    """
    kept = _steps_up_to(path, done) if done else []
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_COLUMNS, *kept])

    def add(event: TrainingEvent) -> None:
        validated = f"{event.validation.loss:.5f}" if event.validation else ""
        row = [event.step, f"{event.loss:.5f}", f"{event.learning_rate:.3g}"]
        try:  # opened each time: a run of hours is looked at on its way
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([*row, f"{event.seconds:.3f}", validated])
        except OSError as error:
            raise output_error(path, error) from error

    return add


@contextmanager
def _progress(training: Training, console: Console) -> Iterator[Callable[[TrainingEvent], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}, {task.fields[seconds]:.2f} s a step"),
        console=console,
        disable=console.quiet,
    )
    mean = 0.0
    with bar:
        task = bar.add_task(
            "", total=training.settings.steps, completed=training.step, loss=0.0, seconds=0.0
        )

        def show(event: TrainingEvent) -> None:
            nonlocal mean
            share = 1 / _AVERAGED_STEPS if mean else 1.0
            mean += share * (event.loss - mean)
            bar.update(task, completed=event.step, loss=mean, seconds=event.seconds)
            if event.validation is not None:
                line = _validation_line(event.step, event.validation)
                console.print(line, highlight=False, soft_wrap=True)

        yield show


def _validation_line(step: int, validation: Validation) -> str:
    parts = [
        f"{name} " + ", ".join(f"{source} {value:.3f}" for source, value in by_source.items())
        for name, by_source in validation.figures.items()
    ]
    return f"step {step}: validation loss {validation.loss:.4f}; {'; '.join(parts)}"
