"""Measure the command and the networks on a CUDA device; `--device cpu --quick` tries the script.

What half precision does to the metrics, compact networks' pieces against a whole song, the paper
network against its sliding window, and the whole command. A step that fails stops no other one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from command import PROFILE_ROW
from common import SAMPLE_RATE, machine, machine_line, markdown, run
from network import DEFINITION, FAST, HOP_LENGTH, OURS, ratios_of
from stemsplit.config import SEGMENT_SECONDS, SOURCES
from stemsplit.infer import FloatArray, Predictor, choose_device
from stemsplit.models import find_card, load_network
from stemsplit.paper_network import DensePaperNetwork, PaperNetwork, split_sources
from stemsplit.pipeline import segment_frames

COMPACT = ("tiny", "base")
METRICS = {"snr": "SDR", "si_sdr": "SI-SDR"}
"""Those of `stemsplit evaluate` that are reported, and how: its SNR is what most call SDR."""
COLUMNS = (*SOURCES, "mean")
TOLERANCE = 1e-4
"""Largest difference allowed from the definition in float32: CUDA sums in another order."""
GROUPED = "sliding: four sources in one batch"  # needs four times the memory
SMALL, LARGE = (64, 1, (64,)), (2048, 5, (128, 256, 1024, 2048))  # frames, rounds, at once
HALF = "dense: half precision"
# As the command keeps cuDNN from TF32.
TRUE_FLOAT32 = partial(torch.backends.cudnn.flags, enabled=True, allow_tf32=False)
Facts = dict[str, Any]
Steps = Iterator[tuple[str, Callable[[], Facts]]]
Predict = Callable[[Tensor], Tensor]
Racer = tuple[str, int, Predict]  # windows or frames at a time


def compare_metrics(arguments: argparse.Namespace, model: str) -> Facts:
    """Give a model's figures by device and precision, and their largest differences."""
    ways = [(arguments.device, "half"), (arguments.device, "float32"), ("cpu", "float32")]
    half, exact, cpu = (evaluate(arguments, model, way) for way in ways)
    soft = [one["figures"]["model_soft"] for one in (half, exact, cpu)]
    pairs = {"half against float32": (half, exact), "device against CPU": (exact, cpu)}
    return {
        "songs": len(exact["tracks"]),
        "figures": {
            ", ".join(way): {m: {c: one[c][m]["value"] for c in COLUMNS} for m in METRICS}
            for way, one in zip(ways, soft, strict=True)
        },
        "differences": {
            f"{row} masks, {pair}": {m: largest_difference(*two, row, m) for m in METRICS}
            for row in ("soft", "hard")
            for pair, two in pairs.items()
        },
    }


def evaluate(arguments: argparse.Namespace, model: str, way: tuple[str, str]) -> Facts:
    """Run `stemsplit evaluate` in a process; give what it writes as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        call = [sys.executable, "-m", "stemsplit", "evaluate", str(arguments.valid)]
        call += ["--model", model, "--device", way[0], "--precision", way[1], "--soft"]
        call += ["--no-museval", "--quiet", "--json", str(result)]
        run(call + ["--tracks", "1"] * arguments.quick, [])
        facts: Facts = json.loads(result.read_text(encoding="utf-8"))
    return facts


def largest_difference(one: Facts, other: Facts, row: str, metric: str) -> tuple[float, str]:
    """Give the largest difference of any song's and stem's figure in dB, and where it is."""
    found = []
    for mine, theirs in zip(one["tracks"], other["tracks"], strict=True):
        for source in SOURCES:
            a, b = (song["rows"][f"model_{row}"][source][metric] for song in (mine, theirs))
            where = f"{mine['name']}, {source}"
            if (a is None) != (b is None):
                raise ValueError(f"{where}: {metric} is {a} and {b}")
            if a is not None:  # the stem is not silent
                found.append((abs(a - b), where))
    return max(found)


def compare_streaming(arguments: argparse.Namespace, model: str) -> Facts:
    """Give how far a model's masks differ, of pieces of two lengths."""
    device = choose_device(arguments.device)
    card, network = load_network(find_card(model), device)
    song = noise((1, 800 if arguments.quick else 2000, 4, card.bands))
    usual = segment_frames(card, SEGMENT_SECONDS)
    half, exact = (Predictor(find_card(model), device, way) for way in ("half", "float32"))
    host = Predictor(find_card(model), torch.device("cpu"), "float32")

    def in_pieces(predictor: Predictor) -> list[FloatArray]:
        # Twice, as TorchScript optimises itself in its first calls; and pieces far shorter.
        sizes = (usual, usual, 64, 64)
        return [by_pieces(predictor, song, size) for size in sizes]

    def whole(dtype: torch.dtype) -> list[FloatArray]:
        with torch.inference_mode(), TRUE_FLOAT32():
            masks: Tensor = network.to(dtype).masks(torch.from_numpy(song).to(device, dtype))
        return [masks.float().cpu().numpy()] * 4

    once, halves = in_pieces(exact), in_pieces(half)
    return {
        "frames": song.shape[1],
        "differences": {
            "pieces against whole, float32": farthest(once, whole(exact.network.dtype)),
            f"pieces against whole, {half.precision}": farthest(halves, whole(half.network.dtype)),
            "device against CPU, float32": farthest(once, in_pieces(host)),
            f"{half.precision} against float32": farthest(halves, once),
        },
    }


def by_pieces(predictor: Predictor, song: FloatArray, frames: int) -> FloatArray:
    """Give the masks of a song that comes in pieces, as the command takes it."""
    answers, found = predictor.begin(frames), []
    last = (song.shape[1] - 1) // frames * frames
    for start in range(0, last, frames):
        found += answers.process(song[:, start : start + frames])
    return np.concatenate([*found, *answers.finish(song[:, last:])], axis=-2)


def farthest(found: list[FloatArray], wanted: list[FloatArray]) -> tuple[float, float]:
    """Give the largest difference of arrays of the same shapes, and the largest of their means."""
    apart = [abs(one - other) for one, other in zip(found, wanted, strict=True)]
    return max(float(one.max()) for one in apart), max(float(one.mean()) for one in apart)


def noise(shape: tuple[int, ...]) -> FloatArray:
    """Give what looks like compressed magnitudes of music: mostly small."""
    return np.random.default_rng(0).random(shape, dtype=np.float32) ** 3


def race(arguments: argparse.Namespace, model: str) -> Facts:
    """Check all against the definition, then time them, in turns, on what is on the device."""
    device = choose_device(arguments.device)
    frames, rounds, sizes = SMALL if arguments.quick else LARGE
    magnitudes = torch.from_numpy(noise((frames + 24, 513))).to(device)
    magnitudes[:12] = 0
    with TRUE_FLOAT32():  # tracing writes down whether TF32 is allowed
        racing = contenders(find_card(model), device, sizes)
    records, wrong = [], []
    with torch.inference_mode(), TRUE_FLOAT32():
        wanted = racing[0][2](magnitudes)
        for name, at_once, predict in racing:
            # Three calls: TorchScript optimises itself in the first two.
            apart = max(float((predict(magnitudes) - wanted).abs().max()) for _ in range(3))
            records.append({"name": name, "at_once": at_once, "difference": apart})
            if name != HALF and not apart < TOLERANCE:
                wrong.append(f"{name}, {at_once} at once, differs by {apart:.1e}")
        times = timed(racing, magnitudes, rounds)
    records = [{**one, "seconds": taken} for one, taken in zip(records, times, strict=True)]
    return {"frames": frames, "rounds": rounds, "records": records, "wrong": wrong}


def contenders(card: Path, device: torch.device, sizes: tuple[int, ...]) -> list[Racer]:
    """Give the sliding window and the dense network, the definition first."""
    network = DensePaperNetwork(4)
    network.load_state_dict(load_network(card, torch.device("cpu"))[1].state_dict())
    plain = [net.eval().to(device) for net in split_sources(network)]
    last = [deepcopy(net).to(memory_format=torch.channels_last) for net in plain]  # type: ignore[call-overload]
    example = torch.zeros(2, 1, 513, 25, device=device)
    trace: Callable[..., Any] = torch.jit.trace
    frozen = [torch.jit.freeze(trace(net, example, check_trace=False)) for net in last]
    ways = {
        DEFINITION: partial(slide, lambda windows: torch.stack([net(windows) for net in plain])),
        FAST: partial(slide, lambda windows: torch.stack([net(windows) for net in frozen])),
        GROUPED: partial(slide, in_one_batch(plain)),
        OURS: partial(by_stretches, Predictor(card, device, "float32")),
        HALF: partial(by_stretches, Predictor(card, device, "half")),
    }
    racing = [(name, size, partial(way, size)) for name, way in ways.items() for size in sizes]
    return [one for one in racing if one[0] != GROUPED or one[1] <= 1024]


def in_one_batch(networks: list[PaperNetwork]) -> Predict:
    """Give one function for the networks of all sources, whose convolutions become groups."""
    network = deepcopy(networks[0]).to("meta")
    one: Callable[..., Tensor] = partial(torch.func.functional_call, network)
    own = torch.func.stack_module_state(list(networks))
    return partial(torch.func.vmap(one, in_dims=(0, None)), own)


def slide(networks: Predict, at_once: int, magnitudes: Tensor) -> Tensor:
    """Take magnitudes window by window, so many in a batch."""
    windows = magnitudes.unfold(0, 25, 1).unsqueeze(1)
    return torch.cat([networks(some) for some in torch.split(windows, at_once)], dim=1)


def by_stretches(predictor: Predictor, at_once: int, magnitudes: Tensor) -> Tensor:
    """Take magnitudes by stretches of so many frames, through the command's network."""
    network = predictor.network
    seen = magnitudes[None].to(network.dtype)
    starts = range(0, len(magnitudes) - 24, at_once)
    parts = [network.module(seen[:, at : at + at_once + 24])[0] for at in starts]
    return torch.cat(parts, dim=1).float()


def timed(racing: list[Racer], magnitudes: Tensor, rounds: int) -> list[float]:
    """Give median seconds, in turns; each round begins with another one."""
    settle = torch.cuda.synchronize if magnitudes.is_cuda else int
    times: list[list[float]] = [[] for _ in racing]
    for turn in range(rounds):
        for index in (*range(turn, len(racing)), *range(turn)):
            settle()
            begin = time.perf_counter()
            racing[index][2](magnitudes)
            settle()
            times[index].append(time.perf_counter() - begin)
    return [statistics.median(values) for values in times]


def command(arguments: argparse.Namespace) -> Steps:
    """Run the whole command on noise, by model and precision, after a run that warms up."""
    seconds = 10 if arguments.quick else 180
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        samples = np.random.default_rng(0).normal(0, 0.1, (seconds * SAMPLE_RATE, 2))
        soundfile.write(song, samples, SAMPLE_RATE, "PCM_16")
        yield "warm-up", partial(profile, arguments.device, song, "tiny", "half")
        for model in (*COMPACT, "paper"):
            for way in ("half", "float32"):
                yield f"{model}, {way}", partial(profile, arguments.device, song, model, way)


def profile(device: str, song: Path, model: str, precision: str) -> Facts:
    """Separate a song in a process; give the stages that it prints, and its peak memory."""
    with tempfile.TemporaryDirectory(dir=song.parent) as output:
        call = [sys.executable, "-m", "stemsplit", str(song), "-o", output, "--model", model]
        call += ["--device", device, "--precision", precision, "--profile"]
        done = run([*call, "--bit-depth", "16", "--no-config"], [])
    rows = map(PROFILE_ROW.match, done.output.splitlines())
    stages = {row["stage"]: float(row["seconds"]) for row in rows if row}
    speed = soundfile.info(song).duration / stages["total"]
    return {"stages": stages, "times_real_time": speed, "peak_mib": done.peak_bytes / 2**20}


def metrics_tables(part: Facts) -> list[str]:
    """Render the figures, and by how much they differ at the most."""
    figures = [
        [f"{title}, {model}, {way}", *(f"{values[metric][column]:.3f}" for column in COLUMNS)]
        for metric, title in METRICS.items()
        for model, facts in part.items()
        for way, values in facts["figures"].items()
    ]
    differences = [
        [f"{model}, {pair}", *("{:.4f} ({})".format(*found[metric]) for metric in METRICS)]
        for model, facts in part.items()
        for pair, found in facts["differences"].items()
    ]
    head = ["largest difference of a song and stem, dB", *METRICS.values()]
    return [*markdown(["dB, soft masks", *COLUMNS], figures), "", *markdown(head, differences)]


def streaming_tables(part: Facts) -> list[str]:
    """Render the differences of masks."""
    rows = [
        [f"{model}, {pair}", *(f"{value:.1e}" for value in found)]
        for model, facts in part.items()
        for pair, found in facts["differences"].items()
    ]
    return markdown(["difference of masks", "largest", "mean"], rows)


def dense_tables(part: Facts) -> list[str]:
    """Render each one's fastest size."""
    facts = part["paper"]
    audio = facts["frames"] * HOP_LENGTH / SAMPLE_RATE
    slowest_first = sorted(facts["records"], key=lambda one: -float(one["seconds"]))
    best = {one["name"]: one for one in slowest_first}
    seconds = {name: one["seconds"] for name, one in best.items()}
    rows = [
        [
            *(name, str(one["at_once"]), f"{1000 * one['seconds']:.2f}"),
            *(f"{audio / one['seconds']:.0f}", f"{one['difference']:.0e}"),
        ]
        for name, one in best.items()
    ]
    definition, fastest = ratios_of({"seconds": seconds})
    return [
        f"Four sources, {facts['frames']} frames ({audio:.1f} s), from device to device, median "
        f"of {facts['rounds']}, fastest of several sizes; bar in float32 {TOLERANCE:.0e}.",
        "",
        *markdown(["", "at once", "ms", "× real time", "largest difference"], rows),
        "",
        f"Dense in float32 is {definition:.1f} times as fast as the definition, "
        f"{seconds[FAST] / seconds[OURS]:.1f} times as the one frozen in channels last, "
        f"{fastest:.1f} times as the fastest sliding window.",
    ]


def command_tables(part: Facts) -> list[str]:
    """Render the stages of all runs but the one that warms up."""
    runs = {name: facts for name, facts in part.items() if name != "warm-up"}
    found = [facts["stages"] for facts in runs.values()]
    rows = [
        [stage, *(f"{stages[stage]:.2f}" if stage in stages else "" for stages in found)]
        for stage in dict.fromkeys(stage for stages in found for stage in stages)
    ]
    for title, fact in (("× real time", "times_real_time"), ("peak MiB", "peak_mib")):
        rows.append([title, *(f"{facts[fact]:.0f}" for facts in runs.values())])
    return markdown(["stage, seconds", *runs], rows)


def by_model(step: Callable[..., Facts], *models: str) -> Callable[[argparse.Namespace], Steps]:
    """Give the steps of a part that asks the same of each model."""
    return lambda arguments: ((name, partial(step, arguments, name)) for name in models)


PARTS = {
    "metrics": (by_model(compare_metrics, *COMPACT, "paper"), metrics_tables),
    "streaming": (by_model(compare_streaming, *COMPACT), streaming_tables),
    "dense": (by_model(race, "paper"), dense_tables),
    "command": (command, command_tables),
}


class Record:
    """What was found and what failed, printed and kept as soon as it is known."""

    def __init__(self, device: torch.device, output: Path | None) -> None:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
        self.facts: Facts = {**machine(("numpy", "torch")), "device": name}
        self.facts.update(parts={}, failed={})
        self._output = output

    def attempt(self, name: str, action: Callable[[], None]) -> None:
        """Do something; if that fails, say so, keep the traceback, and go on."""
        try:
            action()
        except (Exception, SystemExit):
            self.facts["failed"][name] = traceback.format_exc()
            print(f"{name} failed: {self.facts['failed'][name]}", file=sys.stderr, flush=True)
        if self._output is not None:
            self._output.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")

    def run(self, name: str, steps: Steps) -> None:
        """Take the steps of a part."""
        for key, step in steps:
            self.attempt(f"{name}: {key}", partial(self._take, name, key, step))

    def _take(self, name: str, key: str, step: Callable[[], Facts]) -> None:
        begin = time.perf_counter()
        found = self.facts["parts"].setdefault(name, {})[key] = step()
        took = time.perf_counter() - begin
        print(f"{name}: {key}, {took:.1f} s: {json.dumps(found)}", flush=True)
        if found.get("wrong"):
            raise ValueError("; ".join(found["wrong"]))


def show(tables: Callable[[Facts], list[str]], part: Facts) -> None:
    print("", *tables(part), sep="\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("valid", type=Path, help="a folder of songs with their stems, for metrics")
    parser.add_argument("--quick", action="store_true", help="short inputs, one round")
    parser.add_argument("--device", default="cuda", help="cpu to try the script")
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    parser.add_argument("--output", type=Path, help="keep the results in this JSON file")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    record = Record(choose_device(arguments.device), arguments.output)
    names = [arguments.only] if arguments.only else list(PARTS)
    for name in names:
        record.attempt(name, partial(record.run, name, PARTS[name][0](arguments)))
    print(f"\n{machine_line(record.facts)} {record.facts['device']}.")
    for name in names:
        if part := record.facts["parts"].get(name):
            record.attempt(f"{name}: tables", partial(show, PARTS[name][1], part))
    if failed := ", ".join(record.facts["failed"]):
        raise SystemExit(f"failed: {failed}")


if __name__ == "__main__":
    main()
