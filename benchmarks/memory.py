"""Measure the peak memory of the command: a long song against a short one, and --max-memory."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import machine, machine_line, markdown, publish, run, write_song

BAR_MEGABYTES = 150
SHORT_MINUTES = 1
LIMITS = (  # model, pairs of channels, precision, shifts, and limits in MiB for --max-memory
    ("base", 1, "auto", 1, (576, 768, 1024)),
    ("tiny", 1, "auto", 1, (576, 768, 1024)),
    ("paper", 1, "auto", 1, (640, 768, 1024)),
    ("base", 3, "float32", 1, (1280,)),
    ("tiny", 3, "float32", 1, (1280,)),
    ("base", 1, "auto", 2, (768,)),
    ("base", 1, "auto", 4, (1024,)),
)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Separate a song of each length, and a short one within limits, in a process each."""
    results = []
    for minutes in (SHORT_MINUTES, arguments.minutes):
        peak = peak_bytes(arguments, minutes)
        results.append({"minutes": minutes, "bytes": peak})
        print(f"{minutes} min: {peak / 1e6:.0f} MB", flush=True)
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
        command += ["--device", "cpu", "--threads", str(arguments.threads), "--quiet"]
        return run(command, arguments.prefix).peak_bytes


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    growth = report["growth_bytes"] / 1e6
    rows = [[f"{r['minutes']} min", f"{r['bytes'] / 1e6:.0f}"] for r in report["results"]]
    limits = [
        [
            *(row["model"], str(row["channels"]), row["precision"], str(row["shifts"])),
            *(f"{row['limit_bytes'] >> 20}M", f"{row['bytes'] / 2**20:.0f}"),
        ]
        for row in report["limits"]
    ]
    verdict = "met" if growth <= BAR_MEGABYTES else "**missed**"
    return [
        f"{machine_line(report)} {report['threads']} threads.",
        "",
        *markdown(["stereo song, 44.1 kHz", "peak MB"], rows),
        "",
        f"Growth {growth:.0f} MB; bar: at most {BAR_MEGABYTES} MB from {SHORT_MINUTES} to 60 "
        f"minutes: {verdict} at {report['results'][1]['minutes']} minutes.",
        "",
        *markdown(
            ["model", "channels", "`--precision`", "`--shifts`", "`--max-memory`", "peak MiB"],
            limits,
        ),
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 minutes for 60; only prints")
    parser.add_argument("--minutes", type=int, default=60, help="of the long song")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for 3.2 GB of song and stems; default: temp")
    parser.add_argument(
        "--prefix", type=shlex.split, default=[], help='before each process, e.g. "taskset -c 0,1"'
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 10
    return arguments


def main() -> None:
    arguments = parse()
    report = measure(arguments)
    publish("memory", report, table(report), keep=not arguments.quick)


if __name__ == "__main__":
    main()
