"""Measure the peak memory of the command on a long song against a short one."""

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


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Separate a song of each length in a process of its own."""
    results = []
    for minutes in (SHORT_MINUTES, arguments.minutes):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            song = Path(folder) / "song.wav"
            write_song(song, 60 * minutes)
            command = [sys.executable, "-m", "stemsplit", str(song), "-o", folder]
            command += ["--device", "cpu", "--threads", str(arguments.threads), "--quiet"]
            done = run(command, arguments.prefix)
        results.append({"minutes": minutes, "bytes": done.peak_bytes})
        print(f"{minutes} min: {done.peak_bytes / 1e6:.0f} MB, {done.seconds:.0f} s", flush=True)
    return {
        **machine(("stemsplit", "numpy", "torch")),
        "threads": arguments.threads,
        "results": results,
        "growth_bytes": results[1]["bytes"] - results[0]["bytes"],
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    growth = report["growth_bytes"] / 1e6
    rows = [[f"{r['minutes']} min", f"{r['bytes'] / 1e6:.0f}"] for r in report["results"]]
    verdict = "met" if growth <= BAR_MEGABYTES else "**missed**"
    return [
        f"{machine_line(report)} {report['threads']} threads.",
        "",
        *markdown(["stereo song, 44.1 kHz", "peak MB"], rows),
        "",
        f"Growth {growth:.0f} MB; bar: at most {BAR_MEGABYTES} MB from {SHORT_MINUTES} to 60 "
        f"minutes: {verdict} at {report['results'][1]['minutes']} minutes.",
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
