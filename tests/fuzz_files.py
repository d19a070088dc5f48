"""Reads damaged files of every format in processes that may crash, and counts what comes of it.

    python tests/fuzz_files.py [--count 100000] [--seconds 3600] [--seed 0] [--keep FOLDER]

Each mutant goes the way of a song: opened, decoded to its end, its tags read; one in `SHARE` is
separated to files by the default model. That ends in samples or in one `StemsplitError`; anything
else is a fault: another exception, a crash, a hang, samples that are no numbers, memory far beyond
the file's. Prints a report as JSON, and ends with 1 after faults. Mutants at which a library writes
to stderr are counted; the command keeps that out of its own (`stemsplit.cli.process`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from damaged_files import NAMES, SAMPLES, damaged
from stemsplit.audio import AudioReader
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.separate import Separator
from stemsplit.song import separate_file
from stemsplit.tags import read_tags

SHARE = 25
LIMIT_SECONDS = 60
"""Of processor time for one mutant, some of which claim a hundred channels to separate."""

LIMIT_BYTES = 1 << 30
"""Of address space above what a process has when it begins."""

MOST_TIMES = 300
"""How many times as long as the whole file what is decoded of a mutant may be."""

_BLOCK = 1 << 17  # as the way of a song has it


def _is_separated(index: int) -> bool:
    return index // len(NAMES) % SHARE == 1


class Worker:
    """Works through mutants in a fork, and writes a line for each into a file."""

    def __init__(self, folder: Path, seed: int, separator: Separator) -> None:
        self._folder = folder
        self._seed = seed
        self._separator = separator
        self.results = folder / "results"
        self._noise = folder / "stderr"
        self.results.touch()

    def fork(self, first: int, stop: int, least: int, until: float) -> int:
        """Begin with the first mutant; give the process id. It ends at ``until``, but for some."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            self._limit()
            self._work(first, stop, least, until)
            code = 0
        finally:
            os._exit(code)

    def _limit(self) -> None:
        stderr = os.open(self._noise, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(stderr, 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Not Python's handler, which a library that hangs would never let run.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _work(self, first: int, stop: int, least: int, until: float) -> None:
        lines = os.open(self.results, os.O_WRONLY | os.O_APPEND)
        for index in range(first, stop):
            if index >= least and time.monotonic() > until:
                return
            # If the process dies, the line without an end tells of which mutant.
            os.write(lines, b"%d " % index)
            signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, 10 * LIMIT_SECONDS)  # one that waits for ever
            outcome = self._outcome(index)
            if os.fstat(2).st_size:
                outcome += " (with noise)"
                os.ftruncate(2, 0)
            os.write(lines, " ".join(outcome.split())[:500].encode() + b"\n")

    def _outcome(self, index: int) -> str:
        name, data = damaged(self._seed, index)
        song = self._folder / name
        song.write_bytes(data)
        try:
            read_tags(song)
            samples = self._read(song)
            if _is_separated(index):
                self._separate(song, samples)
        except StemsplitError as error:
            lines = str(error).count("\n") + 1
            fine = isinstance(error, AudioError) and lines == 1
            return "refused" if fine else f"{type(error).__name__}: {error}"
        except AssertionError as error:
            return f"wrong: {error}"
        except BaseException as error:
            return f"raised {type(error).__name__}: {error}"
        return "read"

    def _read(self, song: Path) -> int:
        """Decode a file; give its samples per channel."""
        samples = 0
        with AudioReader(song) as reader:
            for block in reader.blocks(_BLOCK):
                assert block.dtype == np.float32, block.dtype
                assert block.shape[0] == reader.channels, block.shape
                assert np.isfinite(block).all(), "not finite"
                samples += block.shape[1]
        assert 0 < samples <= MOST_TIMES * SAMPLES, f"{samples} samples"
        return samples

    def _separate(self, song: Path, samples: int) -> None:
        output = self._folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        quiet = {"on_warning": lambda _line: None}
        result = separate_file(song, output, separator=self._separator, **quiet)
        assert result.samples == samples, f"{result.samples} of {samples} samples separated"
        for path in result.stems.values():
            stem = soundfile.read(path, always_2d=True)[0]
            assert len(stem) == samples, f"{path.name} has {len(stem)} of {samples} samples"
            assert np.isfinite(stem).all(), f"{path.name} is not finite"


def run(count: int, least: int, seconds: float, seed: int, keep: Path | None) -> dict[str, object]:
    """Try so many mutants, or for so long but some at least; give the report."""
    separator = Separator("base", "cpu", threads=1)
    began = time.monotonic()
    most_bytes = crashes = 0
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        worker = Worker(Path(place), seed, separator)
        first = 0
        while True:
            child = worker.fork(first, count, least, began + seconds)
            _, status, usage = os.wait4(child, 0)
            most_bytes = max(most_bytes, 1024 * usage.ru_maxrss)
            code = os.waitstatus_to_exitcode(status)
            if not code:
                break
            crashes += 1
            what = f"crashed: {signal.Signals(-code).name}" if code < 0 else "ended"
            with worker.results.open("a") as file:
                file.write(f"{what}\n")
            first = int(worker.results.read_text().splitlines()[-1].split()[0]) + 1
        lines = worker.results.read_text().splitlines()
    outcomes: Counter[str] = Counter()
    by_format: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
    faults = []
    noisy = 0
    for line in lines:
        index, outcome = line.split(" ", 1)
        name = NAMES[int(index) % len(NAMES)]
        outcome, noise, _ = outcome.partition(" (with noise)")
        noisy += bool(noise)
        kind = outcome if outcome in ("read", "refused") else "fault"
        outcomes[kind] += 1
        by_format[name][kind] += 1
        if kind == "fault":
            faults.append({"index": int(index), "name": name, "what": outcome})
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{index}-{name}").write_bytes(damaged(seed, int(index))[1])
    return {
        "seed": seed,
        "tried": len(lines),
        "separated": sum(_is_separated(int(line.split()[0])) for line in lines),
        "seconds": round(time.monotonic() - began, 1),
        "outcomes": dict(outcomes),
        "by_format": {name: dict(counts) for name, counts in by_format.items()},
        "noisy": noisy,
        "crashes": crashes,
        "peak_mb": round(most_bytes / 1e6),
        "faults": faults,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="mutants over all formats")
    parser.add_argument("--least", type=int, default=0, help="mutants, however long they take")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the mutants with faults here")
    arguments = parser.parse_args()
    report = run(**vars(arguments))
    print(json.dumps(report, indent=1))
    sys.exit(bool(report["faults"]))


if __name__ == "__main__":
    main()
