"""Measure the peak memory of the command: a long song against a short one, and --max-memory."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import machine, machine_line, markdown, publish, run, write_song

BAR_MEGABYTES = 150
SHORT_MINUTES, LONG_MINUTES = 1, 60
LIMITS = (  # model, pairs of channels, precision, shifts, and limits in MiB for --max-memory
    ("base", 1, "auto", 1, (640, 768, 1024)),
    ("tiny", 1, "auto", 1, (640, 768, 1024)),
    ("paper", 1, "auto", 1, (640, 768, 1024)),
    ("base", 3, "float32", 1, (1536,)),
    ("tiny", 3, "float32", 1, (1536,)),
    ("base", 1, "auto", 2, (768,)),
    ("base", 1, "auto", 4, (1024,)),
)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Separate a song of each length, and a short one within limits, in a process each."""
    results: list[dict[str, Any]] = []
    for minutes, rounds in ((SHORT_MINUTES, 5), (arguments.minutes, arguments.rounds)):
        peaks = [peak_bytes(arguments, minutes) for _ in range(rounds)]
        results.append({"minutes": minutes, "bytes": round(median(peaks)), "all_bytes": peaks})
        print(f"{minutes} min: {', '.join(f'{peak / 1e6:.0f}' for peak in peaks)} MB", flush=True)
    limits = []
    for model, pairs, precision, shifts, sizes in LIMITS:
        for size in sizes:
            options = ("-m", model, "--precision", precision, "--shifts", str(shifts))
            options += ("--max-memory", f"{size}M")
            peak = peak_bytes(arguments, 0.5, *options, pairs=pairs)
            case = {"model": model, "channels": 2 * pairs, "precision": precision}
            case["shifts"] = shifts
            limits.append({**case, "limit_bytes": size << 20, "bytes": peak})
            print(*options, f"{2 * pairs} channels: {peak / 2**20:.0f} MiB", flush=True)
    return {
        **machine(("stemsplit", "numpy", "torch")),
        "threads": arguments.threads,
        "results": results,
        "limits": limits,
        "growth_bytes": results[1]["bytes"] - results[0]["bytes"],
    }


def peak_bytes(arguments: argparse.Namespace, minutes: float, *options: str, pairs: int = 1) -> int:
    """Separate a song of so many minutes; give the process's peak memory."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        song = Path(folder) / "song.wav"
        write_song(song, round(60 * minutes), pairs)
        command = [sys.executable, "-m", "stemsplit", str(song), "-o", folder, *options]
        command += [
            "--no-config",
            "--device",
            "cpu",
            "--threads",
            str(arguments.threads),
            "--quiet",
        ]
        return run(command, arguments.prefix).peak_bytes


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    growth = report["growth_bytes"] / 1e6
    rows = [
        [
            *(f"{r['minutes']} min", f"{r['bytes'] / 1e6:.0f}", str(len(r["all_bytes"]))),
            f"{min(r['all_bytes']) / 1e6:.0f} to {max(r['all_bytes']) / 1e6:.0f}",
        ]
        for r in report["results"]
    ]
    limits = [
        [
            *(row["model"], str(row["channels"]), row["precision"], str(row["shifts"])),
            *(f"{row['limit_bytes'] >> 20}M", f"{row['bytes'] / 2**20:.0f}"),
        ]
        for row in report["limits"]
    ]
    minutes = report["results"][1]["minutes"]
    verdict = "met" if growth <= BAR_MEGABYTES else "**missed**"
    if minutes < LONG_MINUTES:
        verdict = f"not measured, as the longer song has {minutes} minutes"
    beyond = [row for row in report["limits"] if row["bytes"] > row["limit_bytes"]]
    return [
        f"{machine_line(report)} {report['threads']} threads.",
        "",
        *markdown(["stereo song, 44.1 kHz", "peak MB, median", "runs", "from to"], rows),
        "",
        f"Growth of the medians {growth:.0f} MB; bar: at most {BAR_MEGABYTES} MB from "
        f"{SHORT_MINUTES} to {LONG_MINUTES} minutes: {verdict}.",
        "",
        *markdown(
            ["model", "channels", "`--precision`", "`--shifts`", "`--max-memory`", "peak MiB"],
            limits,
        ),
        "",
        f"Beyond their limit: {f'**{len(beyond)}**' if beyond else 'none'}.",
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 minutes for 60, once; only prints")
    parser.add_argument("--minutes", type=int, default=LONG_MINUTES, help="of the long song")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the long song")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for 3.2 GB of song and stems; default: temp")
    parser.add_argument(
        "--prefix", type=shlex.split, default=[], help='before each process, e.g. "taskset -c 0,1"'
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes, arguments.rounds = 10, 1
    return arguments


def main() -> None:
    arguments = parse()
    report = measure(arguments)
    whole = arguments.minutes >= LONG_MINUTES and arguments.rounds > 1
    publish("memory", report, table(report), keep=whole)


if __name__ == "__main__":
    main()
