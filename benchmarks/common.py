"""What the benchmarks of whole processes share: a song, a measured run, and where results go."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

SAMPLE_RATE = 44100
HERE = Path(__file__).parent


class Run(NamedTuple):
    """What a process took: wall and processor time in s, peak memory in bytes, and its output."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(command: list[str], prefix: list[str]) -> Run:
    """Run a command under `launch.py`, and that under a prefix such as ``taskset -c 0,1``.

    The time is the command's own, without the prefix's. A command that fails ends the benchmark.
    Every contender finds the environment as a shell would have it: no configuration of stemsplit,
    and threads that wait as their libraries choose.
    """
    ours = ("STEMSPLIT_", "OMP_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        launch = [*prefix, sys.executable, str(HERE / "launch.py"), str(result), *command]
        done = subprocess.run(launch, capture_output=True, text=True, env=environment)
        facts = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    if done.returncode or facts.get("exit_code") != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return Run(facts["seconds"], facts["cpu_seconds"], facts["peak_bytes"], done.stdout)


def write_song(path: Path, seconds: int, pairs: int = 1) -> None:
    """Write a seeded song, 16 bits: chords, a bass, beats of noise, a wandering voice.

    It has so many pairs of channels, all alike.
    """
    beat = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    fade = np.exp(-8 * beat)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2 * pairs, "PCM_16") as file:
        for index in range(2 * seconds):
            rng = np.random.default_rng(index)
            root = 55 * 2 ** (rng.integers(0, 12) / 12)
            chord = sum(np.sin(2 * np.pi * root * ratio * beat) for ratio in (4, 5, 6, 8))
            voice = np.sin(2 * np.pi * root * 8 * beat + 3 * np.sin(2 * np.pi * 5 * beat))
            drums = fade * rng.standard_normal((2, beat.size))
            middle = 0.3 * np.sin(2 * np.pi * root * beat) + 0.2 * voice
            sides = 0.05 * chord * np.array([[1.0], [0.6]])
            file.write(np.tile(0.6 * (middle + sides + 0.15 * drums), (pairs, 1)).T)


def cpu_name() -> str:
    """Give the processor's name, as the system has it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """Give the day, the CPU, what it can, and versions of Python and of the packages there are."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "day": time.strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "instructions": instructions(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def machine_line(report: dict[str, Any]) -> str:
    """Render what `machine` gave."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    known = ", ".join(report.get("instructions", []))
    cpus = f"{report['cpus']} CPUs" + (f" with {known}" if known else "")
    day = f"{report['day']}: " if "day" in report else ""
    return f"{day}{report['cpu']}, {cpus}; Python {report['python']}, {versions}."


def instructions() -> list[str]:
    """Name the instructions that matter most and that the CPU has, where the system says so."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    named = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bfloat16", "amx_bf16": "AMX"}
    return [name for flag, name in named.items() if flag in flags]


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    """Render a table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def publish(name: str, report: dict[str, Any], lines: list[str], *, keep: bool) -> None:
    """Print the table; if it is to be kept, put it into the README, and the report into JSON."""
    text = "\n".join(lines)
    print(text, flush=True)
    if not keep:
        return
    results = HERE / "results" / f"{name}.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    readme = HERE / "README.md"
    before, mark, rest = readme.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end {name} -->")
    if not end:
        raise SystemExit(f"{readme} has no place for the table of {name}")
    readme.write_text(f"{before}{mark}\n{text}\n\n{end}{after}", encoding="utf-8")
