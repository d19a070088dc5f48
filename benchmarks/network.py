"""Measure the dense network beside the sliding window that it stands for, and what else was tried.

All sources, a stretch of frames, the same weights; results are compared before anything is timed.
Contenders take turns, round by round, and medians count. Each allocator has its own process: with
glibc's untouched, much of the time of large layers goes to pages that the kernel clears anew, so
the command keeps its freed memory (`stemsplit.cli.process`), and so may the sliding window here.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import HERE, SAMPLE_RATE, machine, machine_line, markdown, publish, run

if TYPE_CHECKING:
    import numpy as np

    from stemsplit.paper_network import DensePaperNetwork, PaperNetwork

    Predict = Callable[[np.ndarray], np.ndarray]

FRAMES, WINDOWS, HOP_LENGTH = 256, 128, 512
CHECKED = 12 + 24
"""Frames with their context that are compared, of the beginning of a song."""
BAR = 6.0
TOLERANCE = 1e-5
"""Largest difference allowed between a float32 contender and the definition."""
DEFINITION = "sliding: as defined"
FAST = "sliding: frozen, channels last"
OURS = "dense: as the command runs it"
UNTOUCHED = (DEFINITION, FAST, OURS)
"""What is timed with the allocator untouched, too."""
ALLOCATORS = {"kept": "freed memory kept", "untouched": "allocator untouched"}


def sliding(networks: list[PaperNetwork]) -> dict[str, Predict]:
    """Give the sliding window, as defined and optimised, for each source's network in turn."""
    import torch

    def predict(run: list[Callable[..., Any]]) -> Predict:
        def call(magnitudes: np.ndarray) -> np.ndarray:
            windows = torch.from_numpy(magnitudes).unfold(0, 25, 1).unsqueeze(1)
            with torch.inference_mode():
                masks = [torch.cat([net(w) for w in windows.split(WINDOWS)]) for net in run]
            return torch.stack(masks).numpy()

        return call

    def frozen(memory_format: Any) -> list[Any]:
        # Its forward reads module globals, which scripting refuses; tracing gives the same graph.
        example = torch.zeros(2, 1, 513, 25)
        copies = [deepcopy(net).to(memory_format=memory_format) for net in networks]
        traced = [torch.jit.trace(net, example, check_trace=False) for net in copies]
        return [torch.jit.freeze(net) for net in traced]

    plain, last = torch.contiguous_format, torch.channels_last
    return {
        DEFINITION: predict(list(networks)),
        "sliding: frozen": predict(frozen(plain)),
        FAST: predict(frozen(last)),
        "sliding: frozen, channels last, optimize_for_inference": predict(
            [torch.jit.optimize_for_inference(net) for net in frozen(last)]
        ),
    }


def dense(network: DensePaperNetwork, card_path: Path) -> dict[str, Predict]:
    """Give the dense network as the command runs it, and with one thing changed each."""
    import torch

    from stemsplit.infer import Predictor
    from stemsplit.models import read_card

    def predict(run: Callable[..., Any], frames: int = FRAMES) -> Predict:
        def call(magnitudes: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(magnitudes)[None]
            with torch.inference_mode():
                starts = range(0, len(magnitudes) - 24, frames)
                masks = [run(x[:, at : at + frames + 24])[0] for at in starts]
            return torch.cat(masks, dim=1).numpy()

        return call

    def command_way(predictor: Predictor) -> Predict:
        network = predictor.network
        return lambda magnitudes: network.run(
            magnitudes[None], len(magnitudes) - 24, network.module
        )[0]

    cpu = torch.device("cpu")
    last = deepcopy(network).to(memory_format=torch.channels_last)
    frozen = torch.jit.freeze(torch.jit.script(last))
    contiguous = torch.jit.freeze(torch.jit.script(network))
    sha256 = read_card(card_path).sha256  # of weights that this benchmark has written
    return {
        OURS: command_way(Predictor(card_path, cpu, trusted_sha256=sha256)),
        "dense: contiguous instead of channels last": predict(contiguous),
        "dense: eager instead of frozen TorchScript": predict(last),
        "dense: with optimize_for_inference": predict(torch.jit.optimize_for_inference(frozen)),
        "dense: 64 frames at a time instead of 256": predict(frozen, 64),
        "dense: bfloat16 (--precision half)": command_way(
            Predictor(card_path, cpu, "half", trusted_sha256=sha256)
        ),
    }


def contenders(weights: str, folder: Path) -> dict[str, Predict]:
    """Give all of them with the packaged weights or random ones."""
    import torch

    from stemsplit.models import load_network, read_card, save_model
    from stemsplit.paper_network import DensePaperNetwork, PaperNetwork, join_sources, split_sources
    from stemsplit.trust import WEIGHTS_FOLDER

    card_path = WEIGHTS_FOLDER / "paper.json"
    if weights == "random":
        torch.manual_seed(0)
        network = join_sources([PaperNetwork() for _ in range(4)])
        card = read_card(card_path)
        card_path = folder / "random.json"
        save_model(network, card, card_path)
    else:
        network = DensePaperNetwork(4)
        network.load_state_dict(load_network(card_path, torch.device("cpu"))[1].state_dict())
    network.eval()
    windows = [net.eval() for net in split_sources(network)]
    return {**sliding(windows), **dense(network, card_path)}


def check(racing: dict[str, Predict], magnitudes: np.ndarray) -> dict[str, float]:
    """Give the largest difference of each from the definition; stop if one is not the same."""
    wanted = racing[DEFINITION](magnitudes)
    found = {}
    for name, predict in racing.items():
        found[name] = float(abs(predict(magnitudes) - wanted).max())
        if "bfloat16" not in name and not found[name] < TOLERANCE:
            raise SystemExit(f"{name} differs from the sliding window by {found[name]:.1e}")
    return found


def measure(racing: dict[str, Predict], magnitudes: np.ndarray, rounds: int) -> dict[str, float]:
    """Median seconds of each, in turns; each round begins with another one."""
    names = list(racing)
    times: dict[str, list[float]] = {name: [] for name in names}
    for predict in racing.values():
        predict(magnitudes)  # in these shapes for the first time
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            begin = time.perf_counter()
            racing[name](magnitudes)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def one_allocator(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure in this process, under one allocator's rule; print the records as JSON."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # in both, as the command has it
    if arguments.child == "kept":
        from stemsplit.cli.process import tune_process

        tune_process()
    import warnings

    import numpy as np
    import torch

    warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
    torch.set_num_threads(arguments.threads)
    # Like compressed magnitudes of music: mostly small, zeros for frames outside the song.
    magnitudes = np.random.default_rng(0).random((FRAMES + 24, 513), dtype=np.float32) ** 3
    magnitudes[:12] = 0
    differences: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for weights in ("random", "packaged"):
            racing = contenders(weights, Path(folder))
            # Three calls: TorchScript optimises itself in the first two.
            for _ in range(3):
                for name, difference in check(racing, magnitudes[:CHECKED]).items():
                    differences[name] = max(differences.get(name, 0), difference)
        if arguments.child == "untouched":
            racing = {name: racing[name] for name in UNTOUCHED}
        for name, difference in check(racing, magnitudes).items():  # what is timed, as it is
            differences[name] = max(differences[name], difference)
        seconds = measure(racing, magnitudes, arguments.rounds)
    return {"seconds": seconds, "differences": differences}


def collect(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure each allocator and thread count in a process of its own."""
    records = []
    for allocator in ALLOCATORS:
        for threads in arguments.threads_list:
            command = [sys.executable, str(HERE / "network.py"), "--child", allocator]
            command += ["--threads", str(threads), "--rounds", str(arguments.rounds)]
            found = json.loads(run(command, arguments.prefix).output.splitlines()[-1])
            records.append({"allocator": allocator, "threads": threads, **found})
            seconds = found["seconds"]
            ratio = seconds[DEFINITION] / seconds[OURS]
            print(f"{ALLOCATORS[allocator]}, {threads} threads: {ratio:.1f} times", flush=True)
    return {
        **machine(("stemsplit", "torch")),
        "frames": FRAMES,
        "rounds": arguments.rounds,
        "records": records,
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    audio = report["frames"] * HOP_LENGTH / SAMPLE_RATE
    records = report["records"]
    head = [f"× real time, {ALLOCATORS[r['allocator']]}, {r['threads']} threads" for r in records]
    rows = []
    for name in records[0]["seconds"]:
        times = [record["seconds"].get(name) for record in records]
        cells = [f"{audio / seconds:.1f}" if seconds else "" for seconds in times]
        difference = max(record["differences"][name] for record in records)
        rows.append([name, *cells, f"{difference:.0e}"])
    ratios = [ratios_of(record) for record in records]
    rows.append(["**dense : sliding as defined**", *[f"**{r[0]:.1f}**" for r in ratios], ""])
    rows.append(
        ["**dense : fastest sliding timed there**", *[f"**{r[1]:.1f}**" for r in ratios], ""]
    )
    return [
        f"{machine_line(report)} Four sources, {report['frames']} frames ({audio:.1f} s), "
        f"{WINDOWS} windows or {FRAMES} frames at a time, median of {report['rounds']} rounds.",
        "",
        *markdown(["", *head, "largest difference"], rows),
        "",
        f"Goal: {BAR:g} times the sliding window at 2 threads. " + verdict(records),
    ]


def ratios_of(record: dict[str, Any]) -> tuple[float, float]:
    """Give how much faster ours is than the definition, and than the fastest sliding window."""
    seconds = record["seconds"]
    fastest = min(value for name, value in seconds.items() if name.startswith("sliding"))
    return seconds[DEFINITION] / seconds[OURS], fastest / seconds[OURS]


def verdict(records: list[dict[str, Any]]) -> str:
    """Say what became of the goal, against the definition and against the fastest window."""
    parts = []
    for record in records:
        if record["threads"] == 2:
            for rival, ratio in zip(("definition", "fastest"), ratios_of(record), strict=True):
                word = "met" if ratio >= BAR else "**missed**"
                parts.append(f"{ALLOCATORS[record['allocator']]}, {rival}: {ratio:.1f}, {word}")
    return f"{'; '.join(parts) or 'not measured'}."


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 threads, 1 round; only prints")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", dest="threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--child", choices=ALLOCATORS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--prefix", type=shlex.split, default=[], help='before each process, e.g. "taskset -c 0,1"'
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.threads = 1, [2]
    return arguments


def main() -> None:
    arguments = parse()
    arguments.threads_list, arguments.threads = arguments.threads, arguments.threads[0]
    if arguments.child:
        print(json.dumps(one_allocator(arguments)))
        return
    report = collect(arguments)
    whole = not arguments.quick and arguments.rounds > 1 and 2 in arguments.threads_list
    publish("network", report, table(report), keep=whole)


if __name__ == "__main__":
    main()
