"""Measure what collections of songs, and remixing, add to short trainings of the compact network.

    python benchmarks/data.py --valid VALID --base DIR --add DIR --add-stems DIR --remixing
    python benchmarks/data.py --valid VALID --base DIR --input

One training on the base alone, one on the base with each further collection (with ``--leave-out``
one on all collections, and one on all but each of the further ones), and with ``--remixing`` one
on the base with each change of how examples are drawn or compared or of how often the blocks run,
and two with other seeds, which tell how much is chance. All begin with the same weights and have as
many steps: random ones, or with ``--start CARD`` those of a trained model, which has heard the base
many times. With several ``--seeds`` each is trained with all of them.
With ``--loss`` the base alone is trained with other ways of comparing estimates and stems.
With ``--input`` the base alone is trained on other spectrograms, and without mid and side among
what the network sees, each with two seeds.
Collections of ``--add-stems`` lend stems to mixes of songs and never stand for whole songs
(``coherent = false`` in a recipe); those of ``--add-backing`` are accompaniments that nobody split
and teach vocals against the rest (``backing = true``). The figure is the training's own validation,
which is that of ``stemsplit evaluate --soft``, with averaged weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from common import machine, machine_line, markdown, publish
from stemsplit.band_task import BandSettings, BandTask
from stemsplit.cards import read_card
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.loop_settings import LoopSettings
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.remix import Example, RemixSettings
from stemsplit.training import Training
from stemsplit.unet_size import UNetSize

SETTINGS = BandSettings(batch_size=6, frames=64, ratio_weight=1.0)
REMIX = RemixSettings(coherent=0.5, level_spread_db=3.0, varispeed=0.12, equalise_db=3.0)
STARTED_SETTINGS = BandSettings(batch_size=3, frames=128, ratio_weight=2.0)
STARTED_REMIX = RemixSettings(coherent=0.8, borrowed=0.25, varispeed=0.16, equalise_db=4.0, pan=0.3)
"""Of trainings that go on with a model, as in the recipes of `base`."""
REMIXING = {
    "without varispeed": {"varispeed": 0.0},
    "without random tone": {"equalise_db": 0.0},
    "80 % of examples coherent": {"coherent": 0.8},
    "80 % coherent, a quarter of their stems borrowed": {"coherent": 0.8, "borrowed": 0.25},
    "half of examples coherent": {"coherent": 0.5},
    "all of examples coherent": {"coherent": 1.0},
    "no stems borrowed": {"borrowed": 0.0},
    "half the stems borrowed": {"borrowed": 0.5},
    "rooms for a third of the stems": {"reverb": 0.33},
    "no mono stems panned": {"pan": 0.0},
    "all mono stems panned": {"pan": 1.0},
}
"""Changes of how examples are drawn, each trained on the base alone; what changes nothing is left
out."""
BASE = "the base alone"
OTHER_SEEDS = (12, 13)
LOSSES: dict[str, dict[str, Any]] = {
    "error in bands": {},
    "error of the samples": {"waveform": True},
    "and its spectra of 512, 2048, 8192": {"waveform": True, "resolutions": (512, 2048, 8192)},
    "and compressed magnitudes": {"waveform": True, "compressed_weight": 1.0},
}
ROUNDS = {"two rounds": 2, "three rounds": 3}
"""How often the network's blocks run."""
LENGTHS = {
    "examples half as long, twice as many": 0.5,
    "twice as long, half as many": 2.0,
    "three times as long, a third as many": 3.0,
}
"""Lengths of examples, which cost the same, each trained on the base alone, if they divide the
batch."""
SEED = 11
MODES = (
    ("--leave-out", "data_left", "all that is added, and all but one each"),
    ("--remixing", "remixing", "how examples are drawn too"),
    ("--loss", "loss", "how estimates are compared instead"),
    ("--input", "input", "what the network sees instead"),
)
"""Options, with the tables they make."""


class LeftAndRight(BandTask):
    """A training of a network that sees the channels alone, in place of mid and side zeros."""

    def _seen(self, mixture: np.ndarray) -> np.ndarray:
        seen = super()._seen(mixture)
        seen[:, 2:] = 0
        return seen


class MidAndSide(BandTask):
    """A training of a network whose masks are of mid and side instead of left and right."""

    def _untaught(self, example: Example) -> tuple[np.ndarray, ...]:
        *counted, stems = super()._untaught(example)
        return *counted, turned(stems)

    def _errors(self, network: nn.Module, stems: np.ndarray) -> np.ndarray:
        return super()._errors(network, turned(stems))


def turned(stems: np.ndarray) -> np.ndarray:
    """Turn left and right (..., 2, samples) by 45 degrees, which leaves energies as they are."""
    left, right = np.moveaxis(stems, -2, 0)
    middle: np.ndarray = np.stack((left + right, left - right), -2) * np.float32(np.sqrt(0.5))
    return middle


INPUTS: dict[str, tuple[dict[str, Any], type[BandTask]]] = {
    "frames of 4096, hop of 1024": ({}, BandTask),
    "frames of 2048, hop of 512": ({"n_fft": 2048, "hop_length": 512, "frames": 128}, BandTask),
    "left and right alone": ({}, LeftAndRight),
    "masks of mid and side": ({}, MidAndSide),
}
"""What the network sees; examples have the same length in seconds."""


@dataclass(frozen=True)
class Trial:
    """What one training has, and how."""

    tracks: list[StoredTrack]
    remix: RemixSettings
    settings: BandSettings
    seed: int = SEED
    task: type[BandTask] = BandTask


def trained(
    trial: Trial, valid: list[StoredTrack], arguments: argparse.Namespace
) -> dict[str, float]:
    """Train and give the validation's figure of each source, in dB."""
    task = trial.task(trial.settings, trial.tracks, valid, seed=trial.seed, remix=trial.remix)
    loop = LoopSettings(
        steps=arguments.steps,
        learning_rate=1e-3 if arguments.start else 5e-3,
        optimizer="muon",
        warmup=20,
        average=0.97,
        validate_every=arguments.steps,
        precision=arguments.precision,
        seed=trial.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        training = Training(task, Path(folder), loop, start=arguments.start)
        training.run()
    assert training.best is not None
    return training.best.figures["sdr"]


def trials(arguments: argparse.Namespace) -> dict[str, Trial]:
    """Give the trainings by name."""

    def stored(folder: Path, **changes: Any) -> list[StoredTrack]:
        tracks = store_tracks(find_tracks(folder), arguments.store)
        return [dataclasses.replace(track, **changes) for track in tracks]

    plain = Trial([], REMIX, SETTINGS, seed=arguments.seeds[0])
    if arguments.start:
        size = UNetSize.named(read_card(arguments.start).training["network"]["size"])
        settings = dataclasses.replace(STARTED_SETTINGS, size=size)
        plain = dataclasses.replace(plain, remix=STARTED_REMIX, settings=settings)
    base = [track for folder in arguments.base for track in stored(folder)]
    plain = dataclasses.replace(plain, tracks=base)
    if arguments.mode == "input":
        return inputs(plain)
    if arguments.mode == "loss":
        return {
            name: dataclasses.replace(
                plain, settings=dataclasses.replace(plain.settings, **changes)
            )
            for name, changes in LOSSES.items()
        }
    if arguments.mode == "remixing":
        return {BASE: plain, **remixings(plain, arguments)}
    added = {
        name: stored(folder, weight=weight, **changes)
        for name, folder, weight, changes in additions(arguments)
    }
    leave_out = arguments.mode == "data_left"
    return {
        name: dataclasses.replace(plain, tracks=tracks)
        for name, tracks in collections(base, added, leave_out=leave_out).items()
    }


def additions(
    arguments: argparse.Namespace,
) -> list[tuple[str, Path, float, dict[str, bool]]]:
    """Give the name of each further collection, its folder, its weight, and what it is not."""
    kinds: list[tuple[Path, str, dict[str, bool]]] = [
        *((folder, "", {}) for folder in arguments.add),
        *((folder, ", stems alone", {"coherent": False}) for folder in arguments.add_stems),
        *((folder, ", as backing", {"backing": True}) for folder in arguments.add_backing),
    ]
    weights = arguments.weight * len(kinds) if len(arguments.weight) == 1 else arguments.weight
    return [
        (folder.name + how, folder, weight, changes)
        for (folder, how, changes), weight in zip(kinds, weights, strict=True)
    ]


def collections(
    base: list[StoredTrack], added: dict[str, list[StoredTrack]], *, leave_out: bool
) -> dict[str, list[StoredTrack]]:
    """Give what each training has: the base, and one more collection, or all but one."""
    found = {BASE: base}
    if not leave_out:
        return found | {f"and {name}": base + tracks for name, tracks in added.items()}
    for left in (None, *added):
        kept = [track for name, tracks in added.items() if name != left for track in tracks]
        found[f"all but {left}" if left else "all collections"] = base + kept
    return found


def inputs(plain: Trial) -> dict[str, Trial]:
    """Give the trainings with other inputs, each with two seeds."""
    return {
        f"{name}, seed {seed}": dataclasses.replace(
            plain, settings=dataclasses.replace(plain.settings, **changes), task=task, seed=seed
        )
        for seed in (SEED, OTHER_SEEDS[0])
        for name, (changes, task) in INPUTS.items()
    }


def remixings(plain: Trial, arguments: argparse.Namespace) -> dict[str, Trial]:
    """Give the trainings with other seeds, examples drawn otherwise, another loss, more rounds."""
    runs = {f"seed {seed}": dataclasses.replace(plain, seed=seed) for seed in OTHER_SEEDS}
    for name, change in REMIXING.items():
        remix = dataclasses.replace(plain.remix, **change)
        if remix != plain.remix:
            runs[name] = dataclasses.replace(plain, remix=remix)
    for name, factor in LENGTHS.items():
        examples = plain.settings.batch_size / factor
        frames = plain.settings.frames * factor
        if examples.is_integer() and frames.is_integer():
            settings = dataclasses.replace(
                plain.settings, batch_size=int(examples), frames=int(frames)
            )
            runs[name] = dataclasses.replace(plain, settings=settings)
    settings = dataclasses.replace(plain.settings, waveform=True)
    runs["error of the samples in the loss"] = dataclasses.replace(plain, settings=settings)
    for name, rounds in ROUNDS.items():
        size = dataclasses.replace(plain.settings.size, rounds=rounds)
        if arguments.start and size != plain.settings.size:  # only what is trained can repeat
            settings = dataclasses.replace(plain.settings, size=size)
            runs[name] = dataclasses.replace(plain, settings=settings)
    return runs


def with_seeds(runs: dict[str, Trial], seeds: list[int]) -> dict[str, Trial]:
    """Give each training with every seed, or with its own if there is but one."""
    if len(seeds) == 1:
        return runs
    return {
        f"{name}, seed {seed}": dataclasses.replace(trial, seed=seed)
        for name, trial in runs.items()
        for seed in seeds
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    rows = []
    several = any(len(figures) > 1 for figures in report["figures"].values())
    for name, figures in report["figures"].items():
        values = np.array([[one[source] for source in SOURCES] for one in figures])
        means = [*values.mean(axis=0), values.mean()]
        each = [", ".join(f"{mean:.2f}" for mean in values.mean(axis=1))] if several else []
        rows.append([name, str(report["songs"][name]), *(f"{mean:.2f}" for mean in means), *each])
    since = f" more of {report['start']}" if report["start"] else ""
    head = [f"SDR in dB after {report['steps']} steps{since}", "songs", *SOURCES, "mean"]
    head += ["of each seed"] if several else []
    return [machine_line(report), "", *markdown(head, rows)]


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give what all rows have in common, and the figures depend on."""
    return {
        "valid": arguments.valid.name,
        "base": [folder.name for folder in arguments.base],
        "added": {name: weight for name, _, weight, _ in additions(arguments)},
        "steps": arguments.steps,
        "start": arguments.start.stem if arguments.start else None,
        "precision": arguments.precision,
    }


def measured_before(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Give the rows that an earlier run of the same settings kept."""
    if arguments.rows is None or not arguments.rows.is_file():
        return {}
    kept = json.loads(arguments.rows.read_text())
    if kept["settings"] != settings_of(arguments):
        raise SystemExit(f"{arguments.rows} is of a run with other settings: {kept['settings']}")
    figures: dict[str, dict[str, float]] = kept["figures"]
    return figures


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End where options do not go together, before hours of training."""
    folders = [*arguments.add, *arguments.add_stems, *arguments.add_backing]
    if len({folder.name for folder in folders}) < len(folders):
        parser.error("collections of one name would be one row: rename a folder")
    if len(arguments.weight) not in (1, len(folders)):
        parser.error(f"--weight: got {len(arguments.weight)}, wanted one or {len(folders)}")
    if arguments.mode in ("remixing", "loss", "input") and folders:
        parser.error(f"--{arguments.mode} is on the base alone: nothing is added")
    if arguments.mode in ("remixing", "input") and len(arguments.seeds) > 1:
        parser.error(f"--{arguments.mode} has seeds of its own")
    if arguments.mode == "data_left" and len(folders) < 2:
        parser.error("--leave-out takes two further collections or more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--base", type=Path, action="append", required=True)
    parser.add_argument("--add", type=Path, action="append", default=[])
    parser.add_argument("--add-stems", type=Path, action="append", default=[])
    parser.add_argument("--add-backing", type=Path, action="append", default=[])
    modes = parser.add_mutually_exclusive_group()
    for option, mode, meaning in MODES:
        modes.add_argument(option, dest="mode", action="store_const", const=mode, help=meaning)
    parser.add_argument(
        "--weight",
        type=float,
        nargs="+",
        default=[0.5],
        help="of what is added; or one each, --add first, then --add-stems and --add-backing",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="of each training")
    parser.add_argument("--start", type=Path, help="card of a compact model, to go on with")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--store", type=Path, default=Path("build/store"))
    parser.add_argument(
        "--rows", type=Path, help="keep what is measured, and go on with a run that was ended"
    )
    parser.add_argument("--print", action="store_true", help="do not keep the table")
    arguments = parser.parse_args()
    check(parser, arguments)
    valid = store_tracks(find_tracks(arguments.valid), arguments.store)
    runs = trials(arguments)
    figures = measured_before(arguments)
    for name, trial in with_seeds(runs, arguments.seeds).items():
        if name not in figures:
            figures[name] = trained(trial, valid, arguments)
            if arguments.rows is not None:
                kept = {"settings": settings_of(arguments), "figures": figures}
                arguments.rows.write_text(json.dumps(kept))
        print(
            name, {source: round(value, 2) for source, value in figures[name].items()}, flush=True
        )
    report = {
        **machine(("stemsplit", "numpy", "torch")),
        **settings_of(arguments),
        "seeds": arguments.seeds,
        "songs": {name: len(trial.tracks) for name, trial in runs.items()},
        "figures": {
            name: [figures[each] for each in with_seeds({name: trial}, arguments.seeds)]
            for name, trial in runs.items()
        },
    }
    name = arguments.mode or ("data_start" if arguments.start else "data")
    publish(name, report, table(report), keep=not arguments.print)


if __name__ == "__main__":
    main()
