"""Measure the transforms beside every other package that offers them.

Two comparisons: 180 s of stereo with the allocator untouched, where most packages spend their time
on page faults and ours writes into outputs it already has (and, apart, into new ones), and blocks
of 10 s with cache and heap warm. Results are checked against each other first. Contenders take
turns, round by round; a ratio is that of the medians over the rounds that both took part in. Writes
JSON and a table of markdown; a run with fewer sizes or threads replaces what it measured and keeps
what the same build of the core did on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from common import HERE, SAMPLE_RATE, machine, machine_line, markdown
from stemsplit import _core, dsp
from transforms_rivals import Rival, installed

# Threads that spin after their turn would take the CPU from the next contender's; read when a rival
# is imported. Ours stay awake for a tenth of a millisecond, which here is no longer than a wake-up.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

STEMS = 4
LEAST_ROUNDS = 5
WARM_SECONDS = 60
"""Up to so long all is measured with cache and heap warm."""
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
    """Milliseconds of each contender's turns, in order: at least 5, within `budget` s if possible.

    A slow package sits out later rounds when it has used up its share of the budget. With `warm`,
    a turn is one call that is not timed, to bring its own data back into cache, and the median of
    so many timed.
    """
    racing = [rival for rival in contenders if rival.inverts or operation == "stft"]
    times: dict[str, list[float]] = {rival.name: [] for rival in racing}
    share = 1e3 * budget / len(racing)
    for turn in range(rounds):
        # Each round starts with another one, so that nobody always follows the same neighbour.
        shift = turn % len(racing)
        for rival in racing[shift:] + racing[:shift]:
            if turn < LEAST_ROUNDS or sum(times[rival.name]) * (warm or 1) < share:
                call = getattr(rival, operation)
                if warm:
                    call()
                turns = [timed(call) for _ in range(warm or 1)]
                times[rival.name].append(round(statistics.median(turns), 4))
    return times


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
                    for kind in [*own_kinds(threads), *rivals]
                ]
                for contender in contenders:
                    contender.prepare(x, masks)
                check(contenders, seconds)
                for operation in arguments.operations:
                    warm = 0 if seconds > WARM_SECONDS else 5
                    measured = measure(
                        contenders, operation, warm, arguments.rounds, arguments.budget
                    )
                    records.append(
                        {
                            "seconds": seconds, "n_fft": n_fft, "hop_length": hop_length,
                            "threads": threads, "operation": operation, "results": measured,
                        }
                    )  # fmt: skip
                    medians = ", ".join(
                        f"{name} {statistics.median(turns):.1f}" for name, turns in measured.items()
                    )
                    print(f"{seconds} s, {n_fft}, {threads}: {operation} ms: {medians}", flush=True)
    return records


def own_kinds(threads: int) -> list[type[Stemsplit]]:
    """Give our ways of one case."""
    return [Stemsplit, *([StemsplitAlone] if threads == 2 else []), StemsplitFresh]


def ratios(record: dict[str, Any]) -> dict[str, float | str]:
    """Ours against torch, the fastest other package, and ours on one thread."""
    turns: dict[str, list[float]] = record["results"]

    def ratio(rival: str, ours: str) -> float:
        both = min(len(turns[rival]), len(turns[ours]))
        return statistics.median(turns[rival][:both]) / statistics.median(turns[ours][:both])

    reused, fresh, alone = "stemsplit", "stemsplit, new outputs", "stemsplit, 1 thread"
    found: dict[str, float | str] = {}
    if alone in turns:
        found["second thread"] = ratio(alone, reused)
    if "torch" in turns:
        found |= {"torch": ratio("torch", reused), "torch, fresh": ratio("torch", fresh)}
    others = turns.keys() - {reused, fresh, alone, "torch"}
    if others:
        best = min(others, key=lambda name: statistics.median(turns[name]))
        found |= {"other": ratio(best, reused), "other, fresh": ratio(best, fresh)}
        found["other name"] = best
    return found


def cell(ratio: float | str | None, bar: float = 0, digits: int = 1) -> str:
    if not isinstance(ratio, float):
        return "–"
    return f"{ratio:.{digits}f}" if ratio >= bar else f"**{ratio:.{digits}f}** (bar {bar:g})"


def table(report: dict[str, Any]) -> str:
    """Render the report as markdown."""
    days = sorted({record["day"] for record in report["records"]})
    rounds = [len(turns) for record in report["records"] for turns in record["results"].values()]
    lines = [
        "# Transforms",
        "",
        f"{machine_line(report)} Kernel {report['kernel']}.",
        f"Measured on {', '.join(days)}. Not installed: {', '.join(report['absent']) or 'none'}.",
        f"Stereo float32 at 44.1 kHz, medians of {min(rounds)} to {max(rounds)} turns, all of a",
        "row in one process, whose threads sleep between calls (`OMP_WAIT_POLICY=PASSIVE`).",
        "Ratios say how many times faster stemsplit is, over the turns that both took; bold falls",
        "short of the bar. Outputs of ours are reused but where they are said to be new; those of",
        "all others are new. Made by `python benchmarks/transforms.py`.",
    ]
    for seconds in sorted({record["seconds"] for record in report["records"]}, reverse=True):
        records = [record for record in report["records"] if record["seconds"] == seconds]
        long = seconds > WARM_SECONDS
        note = "allocator untouched" if long else "cache and heap warm"
        lines += ["", f"## {seconds} s, {note}", "", *ratio_rows(records, long), ""]
        lines += time_rows(records)
    return "\n".join(lines) + "\n"


def ratio_rows(records: list[dict[str, Any]], long: bool) -> list[str]:
    head = ["", "n_fft", "threads", "× torch", "× torch, new outputs", "× best other"]
    head += ["× best other, new outputs", "second thread"]
    rows = []
    for record in records:
        bars, found = BARS[record["operation"]], ratios(record)
        row = [TITLES[record["operation"]], str(record["n_fft"]), str(record["threads"])]
        row.append(cell(found.get("torch"), bars[0] if long else bars[2]))
        row.append(cell(found.get("torch, fresh"), bars[1] if long else 0))
        other = cell(found.get("other"), bars[3])
        row.append(f"{other} {found['other name']}" if "other name" in found else other)
        row.append(cell(found.get("other, fresh")))
        row.append(cell(found.get("second thread"), 1.6, digits=2))
        rows.append(row)
    return markdown(head, rows)


def time_rows(records: list[dict[str, Any]]) -> list[str]:
    names = sorted({n for record in records for n in record["results"]}, key=order)
    rows = []
    for record in records:
        times = [record["results"].get(name) for name in names]
        cells = [f"{statistics.median(turns):.1f}" if turns else "–" for turns in times]
        case = [TITLES[record["operation"]], str(record["n_fft"]), str(record["threads"])]
        rows.append([*case, *cells])
    return markdown(["ms", "n_fft", "threads", *names], rows)


def order(name: str) -> tuple[bool, bool, str]:
    return (not name.startswith("stemsplit"), name != "torch", name)


def report_of(records: list[dict[str, Any]], path: Path | None = None) -> dict[str, Any]:
    """Join the new records with those an earlier run left, if it fits."""
    here, absent = installed()
    packages = sorted({"stemsplit", "numpy", *(p for rival in here for p in rival.packages)})
    head = {
        **machine(tuple(packages)),
        "kernel": dsp.kernel_name(),
        "core": hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:16],
        "absent": absent,
    }
    day = head.pop("day")
    records = [{"day": day, **record} for record in records]

    def key(record: dict[str, Any]) -> tuple[int, int, int, int]:
        place = OPERATIONS.index(record["operation"])
        return (-record["seconds"], place, record["n_fft"], record["threads"])

    merged = {key(record): record for record in records}
    if path and path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if {name: earlier.get(name) for name in head} == head:
            for record in earlier["records"]:
                merged.setdefault(key(record), record)
    return {**head, "records": [merged[at] for at in sorted(merged)]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="one size, 5 rounds, 70 and 5 s; only prints"
    )
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
        arguments.n_fft, arguments.seconds = [2048], [70, 5]
        arguments.rounds, arguments.budget = LEAST_ROUNDS, 2
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
    if arguments.quick:
        print(table(report_of(run(arguments))), flush=True)
        return
    if len(arguments.seconds) * len(arguments.n_fft) * len(arguments.threads) > 1:
        run_apart(arguments)
        return
    report = report_of(run(arguments), arguments.json)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1)
    text = re.sub(r"\[[\d.,\s]+\]", lambda turns: " ".join(turns[0].split()), text)
    arguments.json.write_text(text + "\n", encoding="utf-8")
    arguments.table.write_text(table(report), encoding="utf-8")
    print(f"table of all cases in {arguments.table}", flush=True)


if __name__ == "__main__":
    main()
