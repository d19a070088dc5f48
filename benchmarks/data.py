"""Measure what collections of songs, and remixing, add to short trainings of the compact network.

    python benchmarks/data.py --valid VALID --base DIR --add DIR --add-stems DIR --remixing

One training on the base alone, one on the base with each further collection, and one on the base
with each change of how examples are drawn, all from the same first weights and of as many steps:
random ones, or with ``--start CARD`` those of a trained model, which has heard the base many times.
Collections of ``--add-stems`` lend stems to mixes of songs and never stand for whole songs
(``coherent = false`` in a recipe). The figure is the training's own validation: masks constant in a
band, averaged weights, energy ratio over each song, their mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import machine, machine_line, markdown, publish
from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.remix import RemixSettings
from stemsplit.training import LoopSettings, Training

SETTINGS = BandSettings(batch_size=6, frames=64, ratio_weight=1.0)
REMIX = RemixSettings(coherent=0.5, level_spread_db=3.0, varispeed=0.12, equalise_db=3.0)
REMIXING = {
    "without varispeed": {"varispeed": 0.0},
    "without random tone": {"equalise_db": 0.0},
    "80 % of examples coherent": {"coherent": 0.8},
    "80 % coherent, a fifth of their stems borrowed": {"coherent": 0.8, "borrowed": 0.2},
    "rooms for a third of the stems": {"reverb": 0.33},
    "mono stems panned": {"pan": 1.0},
}
"""Changes of REMIX, each trained on the base alone."""
LENGTHS = {
    "half as many examples, twice as long": {"batch_size": 3, "frames": 128},
    "a third as many, three times as long": {"batch_size": 2, "frames": 192},
}
"""Changes of SETTINGS, which cost the same, each trained on the base alone."""
SEED = 11


@dataclass(frozen=True)
class Trial:
    """What one training has, and how."""

    tracks: list[StoredTrack]
    remix: RemixSettings = REMIX
    settings: BandSettings = SETTINGS


def trained(
    trial: Trial, valid: list[StoredTrack], steps: int, start: Path | None
) -> dict[str, float]:
    """Train and give the validation's figure of each source, in dB."""
    task = BandTask(trial.settings, trial.tracks, valid, seed=SEED, remix=trial.remix)
    loop = LoopSettings(
        steps=steps,
        learning_rate=1e-3 if start else 5e-3,
        optimizer="muon",
        warmup=20,
        average=0.97,
        validate_every=steps,
        precision="bfloat16",
        seed=SEED,
    )
    with tempfile.TemporaryDirectory() as folder:
        training = Training(task, Path(folder), loop, start=start)
        training.run()
    assert training.best is not None
    return training.best.figures["sdr"]


def trials(arguments: argparse.Namespace) -> dict[str, Trial]:
    """Give the trainings by name."""

    def stored(folder: Path, *, coherent: bool = True) -> list[StoredTrack]:
        tracks = store_tracks(find_tracks(folder), arguments.store)
        share = arguments.weight
        return [dataclasses.replace(t, weight=share, coherent=coherent) for t in tracks]

    base = [dataclasses.replace(t, weight=1.0) for t in stored(arguments.base)]
    found = {"the base alone": base}
    found |= {f"and {folder.name}": base + stored(folder) for folder in arguments.add}
    for folder in arguments.add_stems:
        found[f"and {folder.name}, stems alone"] = base + stored(folder, coherent=False)
    runs = {name: Trial(tracks) for name, tracks in found.items()}
    if arguments.remixing:
        for name, change in REMIXING.items():
            runs[name] = Trial(base, remix=dataclasses.replace(REMIX, **change))
        for name, change in LENGTHS.items():
            runs[name] = Trial(base, settings=dataclasses.replace(SETTINGS, **change))
    return runs


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    rows = []
    for name, figures in report["figures"].items():
        values = [*(figures[source] for source in SOURCES), float(np.mean(list(figures.values())))]
        rows.append([name, str(report["songs"][name]), *(f"{value:.2f}" for value in values)])
    since = f" more of {report['start']}" if report["start"] else ""
    head = [f"SDR in dB after {report['steps']} steps{since}", "songs", *SOURCES, "mean"]
    return [machine_line(report), "", *markdown(head, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--add", type=Path, action="append", default=[])
    parser.add_argument("--add-stems", type=Path, action="append", default=[])
    parser.add_argument("--remixing", action="store_true", help="also how examples are drawn")
    parser.add_argument("--weight", type=float, default=0.5, help="of the songs of what is added")
    parser.add_argument(
        "--start", type=Path, help="card of a model of the same size, to go on with"
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--store", type=Path, default=Path("build/store"))
    parser.add_argument("--print", action="store_true", help="do not keep the table")
    arguments = parser.parse_args()
    valid = store_tracks(find_tracks(arguments.valid), arguments.store)
    runs = trials(arguments)
    figures = {}
    for name, trial in runs.items():
        figures[name] = trained(trial, valid, arguments.steps, arguments.start)
        print(
            name, {source: round(value, 2) for source, value in figures[name].items()}, flush=True
        )
    report = {
        **machine(("stemsplit", "numpy", "torch")),
        "base": arguments.base.name,
        "steps": arguments.steps,
        "start": arguments.start.stem if arguments.start else None,
        "songs": {name: len(trial.tracks) for name, trial in runs.items()},
        "figures": figures,
    }
    publish(
        "data_start" if arguments.start else "data", report, table(report), keep=not arguments.print
    )


if __name__ == "__main__":
    main()
