"""Kills batches at random moments, resumes them, and prints what is wrong afterwards, as JSON.

Run by test_kill.py in a process of its own: it forks, which takes a process without threads. Each
batch runs in a fork with the model loaded already, so that the kills hit the work.

    python kill_batches.py CARD SONGS FOLDER KILLS
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stemsplit.batch import DEFAULT_TEMPLATE, Batch, SeparateOptions
from stemsplit.inputs import find_songs
from stemsplit.outputs import OutputOptions

MOST_BATCHES_A_KILL = 10


def prepared(card: str, kind: str) -> Callable[[Path, Path], int]:
    """Load the model; give a function that runs a batch into a folder and gives its exit code."""
    outputs = OutputOptions(format=kind, filename=DEFAULT_TEMPLATE)
    options = {"outputs": outputs, "model": card, "device": "cpu", "threads": 1}
    loaded = Batch(SeparateOptions(Path("unused"), **options))
    loaded.load()

    def run(songs: Path, output: Path) -> int:
        batch = Batch(SeparateOptions(output, skip_existing=True, **options))
        batch._separator = loaded._separator
        return batch.run(find_songs([songs], output)).exit_code

    return run


def forked(action: Callable[[], int]) -> int:
    """Run in a fork; give the child's process id."""
    child = os.fork()
    if child:
        return child
    os._exit(action())


def contents(folder: Path) -> dict[str, bytes]:
    """Give every file that is not hidden."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return {name: path.read_bytes() for name, path in named if not name.startswith(".")}


def main(card: str, songs: Path, folder: Path, kills: int) -> dict[str, object]:
    """Kill so many batches at work; give their count, how many were begun, and the faults."""
    rng = random.Random(0)
    faults: list[str] = []
    killed = begun = 0
    for kind in ("wav", "flac"):
        run = prepared(card, kind)
        wanted_folder = folder / f"undisturbed-{kind}"
        began = time.monotonic()
        child = forked(lambda: run(songs, wanted_folder))  # noqa: B023
        assert os.waitpid(child, 0)[1] == 0
        took = time.monotonic() - began
        wanted = contents(wanted_folder)
        hits = 0
        for index in range(kills * MOST_BATCHES_A_KILL):
            if hits == kills // 2:
                break
            output = folder / f"{kind}-{index}"
            child = forked(lambda: run(songs, output))  # noqa: B023
            time.sleep(rng.uniform(0, took))
            os.kill(child, signal.SIGKILL)
            caught = os.waitpid(child, 0)[1] == signal.SIGKILL
            left = contents(output)
            begun += 1
            if caught and left != wanted:
                hits += 1
            else:  # it was done before: the measured batch was slowed down by something
                took *= 0.8
            faults += [
                f"{output.name}: {name} is not whole"
                for name, data in left.items()
                if data != wanted.get(name)
            ]
            child = forked(lambda: run(songs, output))  # noqa: B023
            if os.waitpid(child, 0)[1] != 0:
                faults.append(f"{output.name}: the resumed batch failed")
            if contents(output) != wanted:
                faults.append(f"{output.name}: the resumed batch differs")
            state = list((output / ".stemsplit").iterdir())
            if any(path.suffix != ".json" for path in state):
                faults.append(f"{output.name}: leftovers {state}")
        killed += hits
    return {"killed": killed, "begun": begun, "faults": faults}


if __name__ == "__main__":
    outcome = main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(outcome))
