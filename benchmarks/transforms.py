"""Measure the transforms beside every other package that offers them.

Two comparisons: 180 s of stereo with the allocator untouched, where most packages spend their time
on page faults and ours writes into outputs it already has (and, apart, into new ones), and blocks
of 10 s with cache and heap warm. Results are checked against each other first. Contenders take
turns, round by round, and medians count. Writes JSON and a table of markdown; a run with fewer
sizes or threads replaces what it measured and keeps the rest of the file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stemsplit import dsp
from transforms_rivals import Rival, installed

# Threads that spin after their turn would take the CPU from the next contender's; read when a rival
# is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SAMPLE_RATE = 44100
STEMS = 4
HERE = Path(__file__).parent
OPERATIONS = ("stft", "istft", "masked")
TITLES = {
    "stft": "stft",
    "istft": "istft",
    "masked": f"apply_masks_istft, {STEMS} stems",
}
# Ratios wanted: to torch with outputs reused, made anew, in warm blocks; to the best other.
BARS = {"stft": (7, 4, 2.5, 1.5), "istft": (12, 7, 5, 2.5), "masked": (15, 8, 6, 4)}
# float32 against float32 (spectrofast: float64), all within a few roundings of the truth.
TOLERANCE = 2e-6


class Stemsplit(Rival):
    """The transforms under test; reuses its outputs unless told to make new ones."""

    name = "stemsplit"
    packages = ("stemsplit",)
    fresh = False

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        self.x, self.masks = x, masks
        self.outputs: dict[str, Any] = dict.fromkeys(OPERATIONS)
        self.spec = self.stft()
        if not self.fresh:
            self.outputs = {
                "stft": dsp.stft(x, self.n_fft, self.hop_length),
                "istft": self.istft(),
                "masked": self.masked(),
            }

    def _keywords(self, operation: str) -> dict[str, Any]:
        return {"threads": self.threads, "out": self.outputs[operation]}

    def stft(self) -> np.ndarray:
        return dsp.stft(self.x, self.n_fft, self.hop_length, **self._keywords("stft"))

    def istft(self) -> np.ndarray:
        return dsp.istft(
            self.spec, self.n_fft, self.hop_length, length=self.length, **self._keywords("istft")
        )

    def masked(self) -> np.ndarray:
        return dsp.apply_masks_istft(
            self.spec, self.masks, self.n_fft, self.hop_length, length=self.length,
            **self._keywords("masked"),
        )  # fmt: skip


class StemsplitFresh(Stemsplit):
    """The same with new outputs in each call."""

    name = "stemsplit, new outputs"
    fresh = True


class StemsplitAlone(Stemsplit):
    """The same on one thread, beside runs on several: what the further threads give."""

    name = "stemsplit, 1 thread"

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        self.threads = 1
        super().prepare(x, masks)


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    difference = np.linalg.norm((got - wanted).ravel())
    return float(difference / np.linalg.norm(wanted.ravel()))


def check(contenders: list[Rival], seconds: int) -> None:
    """Stop if two packages do not compute the same thing."""
    ours = contenders[0]
    wanted = {name: getattr(ours, name)().copy() for name in OPERATIONS}
    for rival in contenders[1:]:
        for name in OPERATIONS if rival.inverts else OPERATIONS[:1]:
            result = getattr(rival, name)()
            got = rival.spectrum(result) if name == "stft" else rival.signal(result)
            if name == "masked":
                # scipy.signal has more frames at the ends, and no masks for them.
                got, expected = got[..., ours.n_fft : -ours.n_fft], wanted[name]
                error = relative_error(got, expected[..., ours.n_fft : -ours.n_fft])
            else:
                error = relative_error(got, wanted[name])
            if not error < TOLERANCE:
                raise SystemExit(f"{rival.name} disagrees about {name} of {seconds} s: {error:.1e}")


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    result = call()
    elapsed = time.perf_counter() - begin
    del result
    return elapsed * 1e3


def measure(
    contenders: list[Rival], operation: str, warm: int, rounds: int, budget: float
) -> dict[str, Any]:
    """Milliseconds of each contender: medians of turns, at least 3, within `budget` s if possible.

    A slow package sits out later rounds when it has used up its share of the budget. With `warm`,
    a turn is one call that is not timed, to bring its own data back into cache, and so many timed.
    """
    racing = [rival for rival in contenders if rival.inverts or operation == "stft"]
    times: dict[str, list[float]] = {rival.name: [] for rival in racing}
    share = 1e3 * budget / len(racing)
    for turn in range(rounds):
        # Each round starts with another one, so that nobody always follows the same neighbour.
        shift = turn % len(racing)
        for rival in racing[shift:] + racing[:shift]:
            if turn < 3 or sum(times[rival.name]) < share:
                call = getattr(rival, operation)
                if warm:
                    call()
                times[rival.name] += [timed(call) for _ in range(warm or 1)]
    return {
        name: {"ms": statistics.median(values), "rounds": len(values)}
        for name, values in times.items()
    }


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every combination asked for, as records."""
    rivals = [rival for rival in installed()[0] if rival.name not in arguments.without]
    records = []
    rng = np.random.default_rng(0)
    for seconds in arguments.seconds:
        length = seconds * SAMPLE_RATE
        x = (0.1 * rng.standard_normal((2, length))).astype(np.float32)
        for n_fft in arguments.n_fft:
            hop_length = n_fft // 4
            shape = (STEMS, 1, 1 + length // hop_length, n_fft // 2 + 1)
            masks = rng.random(shape, dtype=np.float32)
            for threads in arguments.threads:
                contenders = [
                    kind(n_fft, hop_length, length, threads)
                    for kind in [*own_kinds(seconds, threads), *rivals]
                ]
                for contender in contenders:
                    contender.prepare(x, masks)
                check(contenders, seconds)
                for operation in arguments.operations:
                    warm = 0 if seconds > 60 else 5
                    measured = measure(
                        contenders, operation, warm, arguments.rounds, arguments.budget
                    )
                    records.append(
                        {
                            "seconds": seconds, "n_fft": n_fft, "hop_length": hop_length,
                            "threads": threads, "operation": operation, "results": measured,
                        }
                    )  # fmt: skip
                    fastest = ", ".join(f"{k} {v['ms']:.1f}" for k, v in measured.items())
                    print(f"{seconds} s, {n_fft}, {threads}: {operation} ms: {fastest}", flush=True)
    return records


def own_kinds(seconds: int, threads: int) -> list[type[Stemsplit]]:
    """Give our ways of one case."""
    alone = [StemsplitAlone] if threads > 1 else []
    return [Stemsplit, *alone, *([StemsplitFresh] if seconds > 60 else [])]


def ratios(record: dict[str, Any]) -> dict[str, float | str]:
    """Ours against torch, the fastest other package, and ours on one thread."""
    ms = {name: result["ms"] for name, result in record["results"].items()}
    ours = ms.pop("stemsplit")
    fresh = ms.pop("stemsplit, new outputs", None)
    alone = ms.pop("stemsplit, 1 thread", None)
    found: dict[str, float | str] = {}
    if alone:
        found["second thread"] = alone / ours
    if "torch" in ms:
        torch = ms.pop("torch")
        found["torch"] = torch / ours
        if fresh:
            found["fresh"] = torch / fresh
    if ms:
        best = min(ms, key=lambda name: ms[name])
        found |= {"other": ms[best] / ours, "other name": best}
    return found


def cell(ratio: float | str | None, bar: float) -> str:
    if not isinstance(ratio, float):
        return "–"
    return f"{ratio:.1f}" if ratio >= bar else f"**{ratio:.1f}** (bar {bar:g})"


def table(report: dict[str, Any]) -> str:
    """Render the report as markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [
        "# Transforms",
        "",
        f"{report['cpu']}, {report['cpus']} CPUs, kernel {report['kernel']}; {versions}.",
        f"Not installed: {', '.join(report['absent']) or 'none'}. Stereo float32 at 44.1 kHz,",
        "medians of many turns, all of a row in one process. Ratios say how many times faster",
        "stemsplit is; bold falls short of the bar. Made by `python benchmarks/transforms.py`.",
    ]
    for seconds in sorted({record["seconds"] for record in report["records"]}, reverse=True):
        records = [record for record in report["records"] if record["seconds"] == seconds]
        long = any("stemsplit, new outputs" in record["results"] for record in records)
        note = "allocator untouched, outputs reused" if long else "cache and heap warm"
        lines += ["", f"## {seconds} s, {note}", "", *ratio_rows(records, long), ""]
        lines += time_rows(records)
    return "\n".join(lines) + "\n"


def ratio_rows(records: list[dict[str, Any]], long: bool) -> list[str]:
    lines = [
        "| | n_fft | threads | × torch | × torch, new outputs | × best other | second thread |",
        "|---|---|---|---|---|---|---|",
    ]
    if not long:
        lines = [line.replace(" × torch, new outputs |", "") for line in lines[:1]] + [
            "|---|---|---|---|---|---|"
        ]
    for record in records:
        bars, found = BARS[record["operation"]], ratios(record)
        row = [TITLES[record["operation"]], str(record["n_fft"]), str(record["threads"])]
        row.append(cell(found.get("torch"), bars[0] if long else bars[2]))
        if long:
            row.append(cell(found.get("fresh"), bars[1]))
        other = cell(found.get("other"), bars[3])
        row.append(f"{other} {found['other name']}" if "other name" in found else other)
        row.append(cell(found.get("second thread"), 1.6))
        lines.append(f"| {' | '.join(row)} |")
    return lines


def time_rows(records: list[dict[str, Any]]) -> list[str]:
    names = sorted({n for record in records for n in record["results"]}, key=order)
    lines = [f"| ms | n_fft | threads | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for record in records:
        times = [record["results"].get(name) for name in names]
        cells = [f"{found['ms']:.1f}" if found else "–" for found in times]
        head = f"{TITLES[record['operation']]} | {record['n_fft']} | {record['threads']}"
        lines.append(f"| {head} | {' | '.join(cells)} |")
    return lines


def order(name: str) -> tuple[bool, bool, str]:
    return (not name.startswith("stemsplit"), name != "torch", name)


def cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def report_of(records: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """Join the new records with those an earlier run left in `path`."""
    here, absent = installed()
    packages = sorted({"stemsplit", "numpy", *(p for rival in here for p in rival.packages)})
    head = {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "kernel": dsp.kernel_name(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "absent": absent,
    }

    def key(record: dict[str, Any]) -> tuple[int, int, int, int]:
        place = OPERATIONS.index(record["operation"])
        return (-record["seconds"], place, record["n_fft"], record["threads"])

    merged = {key(record): record for record in records}
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if {name: earlier.get(name) for name in head} == head:
            for record in earlier["records"]:
                merged.setdefault(key(record), record)
    return {**head, "records": [merged[at] for at in sorted(merged)]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, a few rounds, 20 and 5 s")
    parser.add_argument("--n-fft", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=int, nargs="+", default=[180, 10])
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out, by name")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--budget", type=float, default=15, help="seconds for each measurement")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "transforms.json")
    parser.add_argument("--table", type=Path, default=HERE / "transforms.md")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.n_fft, arguments.seconds = [2048], [20, 5]
        arguments.rounds, arguments.budget = 5, 2
    return arguments


def run_apart(arguments: argparse.Namespace) -> None:
    """Run each case in a process of its own: together their rivals' arrays outgrow 24 GiB."""
    shared = ["--operations", *arguments.operations, "--rounds", str(arguments.rounds)]
    shared += ["--budget", str(arguments.budget), "--without", *arguments.without]
    shared += ["--json", str(arguments.json), "--table", str(arguments.table)]
    for case in product(arguments.seconds, arguments.n_fft, arguments.threads):
        names = ("--seconds", "--n-fft", "--threads")
        chosen = [word for pair in zip(names, map(str, case), strict=True) for word in pair]
        subprocess.run([sys.executable, __file__, *shared, *chosen], check=True)


def main() -> None:
    arguments = parse()
    if len(arguments.seconds) * len(arguments.n_fft) * len(arguments.threads) > 1:
        run_apart(arguments)
        return
    report = report_of(run(arguments), arguments.json)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    arguments.table.write_text(table(report), encoding="utf-8")
    print(f"table of all cases in {arguments.table}", flush=True)


if __name__ == "__main__":
    main()
