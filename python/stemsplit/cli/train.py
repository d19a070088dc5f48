"""``stemsplit train``: the options of a training, its progress, and the model it ends with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.cli.process import tune_process
from stemsplit.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from stemsplit.remix import StoredTrack
    from stemsplit.train import Training, TrainingEvent, Validation

_CARD_FIELDS = {"description", "data", "licence"}


def train(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="folders of tracks to train on")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder of the run: checkpoints and the model")
    ],
    valid: Annotated[
        list[Path] | None,
        typer.Option("--valid", help="folder of tracks that choose the best weights; repeatable"),
    ] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="the model's name")] = "model",
    card: Annotated[
        Path | None,
        typer.Option("--card", help="JSON with description, data and licence for the card"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="optimiser steps in all")] = 4000,
    batch_size: Annotated[int, typer.Option("--batch-size", help="excerpts in a step")] = 4,
    frames: Annotated[int, typer.Option("--frames", help="predicted frames of an excerpt")] = 64,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="its peak")] = 1e-3,
    warmup: Annotated[int, typer.Option("--warmup", help="steps it takes to rise")] = 100,
    dense_steps: Annotated[
        int, typer.Option("--dense-steps", help="first steps, of the dense layers alone: cheaper")
    ] = 0,
    validate_every: Annotated[
        int, typer.Option("--validate-every", help="steps from checkpoint to checkpoint")
    ] = 250,
    precision: Annotated[
        str, typer.Option("--precision", help="float32, or bfloat16 for mixed precision")
    ] = "float32",
    seed: Annotated[int, typer.Option("--seed", help="of weights, remixes and dropout")] = 0,
    device: Annotated[
        str, typer.Option("--device", "-d", help="auto, cpu, cuda or cuda:N")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="CPU threads [default: all]")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="folder of decoded stems [default: OUTPUT/store]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on from the run's last checkpoint")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")] = False,
) -> int:
    """Train the paper's network on a collection of songs with their stems.

    A collection is a folder in a layout of MUSDB18: .stem.mp4 files, or a folder per song with
    vocals, drums, bass and other (and mixture) as WAV, FLAC or OGG. The run ends with
    OUTPUT/NAME.pt and its card OUTPUT/NAME.json, which --model takes.
    """
    about = _read_about(card)
    tune_process()
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    import torch

    from stemsplit.infer import choose_device
    from stemsplit.train import Training, TrainingSettings

    settings = TrainingSettings(
        steps=steps,
        batch_size=batch_size,
        frames=frames,
        learning_rate=learning_rate,
        warmup=warmup,
        dense_steps=dense_steps,
        validate_every=validate_every,
        precision=precision,
        seed=seed,
    )
    target = choose_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    folder = store or output / "store"
    tracks = _stored(data, folder, console)
    held_out = _stored(valid or [], folder, console)
    shared = {track.name for track in tracks} & {track.name for track in held_out}
    if shared:
        raise UsageError(
            "songs stand in both training and validation",
            got=", ".join(sorted(shared)),
            remedy="remove them from one",
        )
    training = Training(tracks, held_out, output, settings, device=target, resume=resume)
    _run(training, console)
    _export(training, output / f"{name}.json", about, [folder.name for folder in data])
    console.print(f"model in {output / name}.json", highlight=False, soft_wrap=True)
    return 0


def _read_about(path: Path | None) -> dict[str, Any]:
    """Read what the user says of the model, before the hours of work."""
    if path is None:
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}", got=error, wanted="a JSON object") from error
    if not isinstance(about, dict) or about.keys() - _CARD_FIELDS:
        wanted = f"an object with {', '.join(sorted(_CARD_FIELDS))}"
        raise InputError(f"bad card {path}", got=about, wanted=wanted)
    return about


def _stored(folders: list[Path], store: Path, console: Console) -> list[StoredTrack]:
    from rich.progress import Progress

    from stemsplit.dataset import find_tracks
    from stemsplit.remix import store_tracks

    found = [track for folder in folders for track in find_tracks(folder)]
    if not found:
        return []
    with Progress(console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("decoding", total=len(found))
        return store_tracks(found, store, lambda _: bar.advance(task))


def _run(training: Training, console: Console) -> None:
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
        TextColumn("loss {task.fields[loss]:.4f}, {task.fields[speed]:.1f} examples/s"),
        console=console,
        disable=console.quiet,
    )
    with bar:
        task = bar.add_task(
            "", total=training.settings.steps, completed=training.step, loss=0.0, speed=0.0
        )

        def show(event: TrainingEvent) -> None:
            bar.update(task, completed=event.step, loss=event.loss, speed=event.examples_per_second)
            if event.validation is not None:
                console.print(_validation_line(event.step, event.validation), highlight=False)

        training.run(show)


def _validation_line(step: int, validation: Validation) -> str:
    accuracy = ", ".join(f"{source} {value:.3f}" for source, value in validation.accuracy.items())
    return f"step {step}: validation loss {validation.loss:.4f}, accuracy {accuracy}"


def _export(training: Training, path: Path, about: dict[str, Any], data: list[str]) -> None:
    from stemsplit import network
    from stemsplit.config import SOURCES
    from stemsplit.models import ModelCard, save_model

    settings = training.settings
    card = ModelCard(
        name=path.stem,
        description=about.get("description", "the paper's network"),
        architecture="paper",
        sources=SOURCES,
        sample_rate=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        bins=network.BINS,
        context_frames=network.CONTEXT_FRAMES,
        magnitude_power=settings.magnitude_power,
        parameters=sum(weight.numel() for weight in training.network.parameters()),
        sha256="",
        data=about.get("data", [{"name": name, "licence": "unknown"} for name in data]),
        licence=about.get("licence", "unknown"),
        training=dataclasses.asdict(settings),
        validation=dataclasses.asdict(training.best) if training.best else {},
    )
    save_model(training.network.cpu(), card, path)
