"""Separate hundreds of varied songs in one batch: flat memory, and every result a single run's.

The batch runs in a process of its own, two songs at a time, and so does every single run: forks of
one process that has loaded the model. Some files are broken on purpose and must fail, in both.
"""

from __future__ import annotations

import argparse
import dataclasses
import filecmp
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from common import machine, machine_line, markdown, publish, write_song
from stemsplit.batch import Batch, SeparateOptions, SongEnded
from stemsplit.cli.process import FreedMemory, tune_process
from stemsplit.events import Event
from stemsplit.inputs import find_songs

DEMO = Path(__file__).parent.parent / "demo" / "potassium.ogg"
SETTLED = 50
"""Songs after which memory is taken to have its size; the largest song is among them."""

WINDOW = 20
"""Songs over which memory is averaged, as another song is always half done."""

BAR_MEGABYTES = 150
KINDS = {
    "wav": ("PCM_16", "PCM_24", "FLOAT", "PCM_U8"),
    "flac": ("PCM_16", "PCM_24"),
    "aiff": ("PCM_16", "PCM_24"),
    "ogg": ("VORBIS",),
    "opus": ("OPUS",),
    "mp3": ("MPEG_LAYER_III",),
    "caf": ("PCM_24",),
    "w64": ("PCM_24",),
    "rf64": ("PCM_16",),
    "m4a": ("aac",),
    "mkv": ("flac",),
}
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 44_100, 44_100, 48_000, 48_000, 96_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
LOSSY = ("ogg", "opus", "mp3", "m4a")
SHORTEST, LONGEST = 0.1, 20.0
BROKEN_EVERY = 25


def make_songs(folder: Path, count: int) -> list[str]:
    """Write songs, seeded; give the names of the broken ones."""
    rng = random.Random(0)
    synthetic = folder.parent / "synthetic.wav"
    write_song(synthetic, 30)
    sources = [soundfile.read(path, dtype="float32")[0].T for path in (DEMO, synthetic)]
    broken = []
    for index in range(count):
        # The largest is the first: what memory a song takes is known early.
        largest = index == 0
        kind = "wav" if largest else rng.choice(list(KINDS))
        seconds = LONGEST if largest else SHORTEST * (LONGEST / SHORTEST) ** rng.random()
        rate = max(RATES) if largest else rng.choice(OPUS_RATES if kind == "opus" else RATES)
        rate = min(rate, 48_000) if kind in LOSSY else rate
        channels = 6 if largest else rng.choice((1, 2, 2, 2, 2, 3, 6))
        channels = min(channels, 2) if kind in ("mp3", "m4a", "mkv") else channels
        source = sources[index % 2]
        # At another rate the same samples are another song, lower or higher: variety, not quality.
        samples = min(round(seconds * rate), source.shape[1])
        start = rng.randrange(source.shape[1] - samples + 1)
        audio = np.stack([source[n % 2, start : start + samples] for n in range(channels)])
        path = folder / f"{index:03}.{kind}"
        _write(path, audio, rate, rng.choice(KINDS[kind]))
        if index % BROKEN_EVERY == BROKEN_EVERY - 1:
            _break(path, rng)
            broken.append(path.name)
    return broken


def _write(path: Path, audio: np.ndarray, rate: int, codec: str) -> None:
    if path.suffix in (".m4a", ".mkv"):
        import av

        layout = "mono" if len(audio) == 1 else "stereo"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    else:
        container_name = "OGG" if path.suffix == ".opus" else None
        soundfile.write(path, audio.T, rate, subtype=codec, format=container_name)


def _break(path: Path, rng: random.Random) -> None:
    """Make a file fail: text, nothing, or a header without its audio."""
    path.write_bytes(rng.choice((b"la la la\n" * 99, b"", path.read_bytes()[:20])))


class Limits(NamedTuple):
    """How many single runs go through the command, and the seconds that all of them may take."""

    commands: int
    seconds: float


@dataclass
class Comparison:
    """Songs compared with single runs; those with another fate, and those with other bytes."""

    compared: int = 0
    wrong: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)


def options(output: Path, **how: Any) -> SeparateOptions:
    return SeparateOptions(output, device="cpu", threads=1, **how)


def forked(action: Callable[[], int]) -> int:
    """Run in a fork and wait for its end; give its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run_batch(loaded: Batch, songs: Path, output: Path, result: Path) -> int:
    """Separate all songs in one batch; write memory after each song, and each one's status."""
    memory: list[int] = []
    freed = FreedMemory()

    def note(event: Event) -> None:
        freed.after(event)  # as the command does
        if isinstance(event, SongEnded):
            memory.append(resident_bytes())

    batch = Batch(options(output, jobs=2), note)
    batch._separator = loaded._separator
    report = batch.run(find_songs([songs], output))
    statuses = {Path(song.input).name: song.status for song in report.songs}
    result.write_text(json.dumps({"memory": memory, "statuses": statuses}))
    return report.exit_code


def run_single(loaded: Batch, song: Path, output: Path) -> int:
    batch = Batch(options(output))
    batch._separator = loaded._separator
    return batch.run(find_songs([song], output)).exit_code


def same_files(one: Path, other: Path) -> bool:
    """Tell whether two folders hold files of the same names and bytes."""
    names = [sorted(path.name for path in folder.glob("*")) for folder in (one, other)]
    equal = names[0] == names[1]
    return equal and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


def compare(
    place: Path, loaded: Batch, statuses: dict[str, str], broken: list[str], limits: Limits
) -> Comparison:
    """Separate songs of ``place/songs`` each by itself, and compare with ``place/together``."""
    done = Comparison()
    paths = sorted((place / "songs").iterdir())
    random.Random(0).shuffle(paths)  # so that those within a limit are of all kinds
    began = time.monotonic()
    for number, song in enumerate(paths):
        if time.monotonic() - began > limits.seconds:
            break
        alone = place / "alone"
        status = statuses.get(song.name, "lost")
        if number < limits.commands:
            command = [sys.executable, "-m", "stemsplit", str(song), "-o", str(alone)]
            command += ["-d", "cpu", "--threads", "1", "-q", "--no-config"]
            code = subprocess.run(command, capture_output=True).returncode
        else:
            code = forked(lambda: run_single(loaded, song, alone))  # noqa: B023
        if (status == "done") != (code == 0) or (song.name in broken) != (status == "failed"):
            done.wrong.append(f"{song.name}: {status} in the batch, exit code {code} alone")
        elif status == "done" and not same_files(place / "together" / song.stem, alone / song.stem):
            done.different.append(song.name)
        done.compared += 1
        shutil.rmtree(alone, ignore_errors=True)
    return done


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the songs, separate them together and each by itself, and compare."""
    tune_process()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        place = Path(folder)
        (place / "songs").mkdir()
        broken = make_songs(place / "songs", arguments.songs)
        loaded = Batch(options(place))
        loaded.load()
        result = place / "result.json"
        forked(lambda: run_batch(loaded, place / "songs", place / "together", result))
        return report_of(place, loaded, broken, arguments)


def report_of(
    place: Path, loaded: Batch, broken: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Compare what the batch left in a folder, and put all figures together."""
    facts = json.loads((place / "result.json").read_text())
    statuses, memory = facts["statuses"], facts["memory"]
    limits = Limits(arguments.commands, 60 * arguments.minutes)
    comparison = compare(place, loaded, statuses, broken, limits)
    state = place / "together" / ".stemsplit"
    settled = statistics.median(memory[SETTLED - WINDOW : SETTLED])
    return {
        **machine(("stemsplit", "numpy", "torch", "soundfile", "av")),
        "songs": arguments.songs,
        "broken": len(broken),
        "done": sum(status == "done" for status in statuses.values()),
        "failed": sum(status == "failed" for status in statuses.values()),
        "lost": arguments.songs - len(statuses),
        "commands": arguments.commands,
        **dataclasses.asdict(comparison),
        "leftovers": [path.name for path in state.iterdir() if path.suffix != ".json"],
        "memory_bytes": memory,
        "growth_bytes": round(statistics.median(memory[-WINDOW:]) - settled),
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    memory = report["memory_bytes"]
    count = len(memory)
    places = sorted({SETTLED, *(place for n in range(1, 5) if (place := n * count // 4) > WINDOW)})
    medians = [statistics.median(memory[n - WINDOW : n]) for n in places]
    rows = [["resident MB, median of 20", *(f"{median / 1e6:.0f}" for median in medians)]]
    growth = report["growth_bytes"] / 1e6
    good = growth <= BAR_MEGABYTES
    good = good and not any(report[name] for name in ("lost", "different", "wrong", "leftovers"))
    verdict = "met" if good else "**missed**"
    if good and report["compared"] < report["songs"]:
        verdict = "met by those compared, which are not all"
    return [
        machine_line(report),
        "",
        *markdown(["after songs", *(str(n) for n in places)], rows),
        "",
        f"{report['songs']} songs, {report['broken']} of them broken: {report['done']} done, "
        f"{report['failed']} failed, {report['lost']} lost; {len(report['leftovers'])} leftovers. "
        f"{report['compared']} of them compared with single runs, byte by byte, "
        f"{min(report['commands'], report['compared'])} of those by the command: "
        f"{len(report['different'])} differ, "
        f"{len(report['wrong'])} have another fate.",
        "",
        f"Growth {growth:.0f} MB between song {SETTLED} and the end; bar: at most {BAR_MEGABYTES} "
        f"MB, nothing lost, left over or different: {verdict}.",
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 songs; only prints")
    parser.add_argument("--songs", type=int, default=500)
    parser.add_argument("--commands", type=int, default=10, help="single runs by the command")
    parser.add_argument("--minutes", type=float, default=60, help="for single runs, at most")
    parser.add_argument("--folder", type=Path, help="for gigabytes of songs; default: temp")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.songs = 100
    if arguments.songs < SETTLED + WINDOW:
        parser.error(f"--songs: at least {SETTLED + WINDOW}, of which {SETTLED} settle the memory")
    return arguments


def main() -> None:
    arguments = parse()
    report = measure(arguments)
    publish("soak", report, table(report), keep=not arguments.quick)


if __name__ == "__main__":
    main()
