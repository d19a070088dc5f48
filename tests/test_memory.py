"""--max-memory: the model of memory, the segment it chooses, and what a process then takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SongWriter
from stemsplit import memory
from stemsplit.cli.app import run
from stemsplit.config import SOURCES
from stemsplit.errors import UsageError
from stemsplit.infer import Predictor, choose_device
from stemsplit.memory import LEAST_SEGMENT_SECONDS, MemoryLimit, parse_size, song_memory
from stemsplit.models import find_card
from stemsplit.separate import Separator
from stemsplit.song import separate_file

MIB = 1 << 20


@pytest.fixture(scope="module", params=["base", "tiny", "paper"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return Predictor(find_card(request.param), choose_device("cpu"), "float32")


@pytest.mark.parametrize(
    ("text", "size"),
    [("800M", 800 * MIB), ("2G", 2048 * MIB), ("1.5 GiB", 1536 * MIB), ("900mb", 900 * MIB)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2", "0G", "-1G", "G", "2 GG", "two G", "1e3M", "nanG"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match=r"bad --max-memory: got .*, wanted a size such as 800M"):
        parse_size(text)


def test_what_a_process_holds_and_held() -> None:
    held, peak = memory.held_memory(), memory.peak_memory()
    assert held is not None
    assert peak is not None
    assert 50 * MIB < held <= peak


def test_the_chosen_segment_keeps_the_limit_and_is_no_shorter_than_it_has_to_be(
    predictor: Predictor,
) -> None:
    least = song_memory(predictor, 44_100, 2, LEAST_SEGMENT_SECONDS)
    assert least <= 460 * MIB
    for total in range(50 + -(-least // MIB), 3000, 50):
        limit = MemoryLimit(total * MIB, 50 * MIB)
        seconds = limit.segment_seconds(predictor, 44_100, 2, 60.0)
        taken = song_memory(predictor, 44_100, 2, seconds)
        assert taken <= limit.total - limit.held
        if seconds < 60:
            more = song_memory(predictor, 44_100, 2, seconds + 0.25)
            assert more > limit.total - limit.held


def test_the_estimate_grows_with_all_that_needs_memory(predictor: Predictor) -> None:
    usual = song_memory(predictor, 44_100, 2, 5.0)
    assert song_memory(predictor, 96_000, 2, 5.0) > usual
    assert song_memory(predictor, 44_100, 6, 5.0) > usual
    assert song_memory(predictor, 44_100, 2, 6.0) > usual
    assert song_memory(predictor, 44_100, 2, 5.0, shifts=2) > usual


def test_a_song_heard_faster_counts_at_the_rate_it_is_worked_on(predictor: Predictor) -> None:
    """Both songs at the model's rate; heard faster one at that, the other at twice that."""

    def more(shifts: int) -> int:
        low, high = (
            song_memory(predictor, rate, 2, 10.0, shifts=shifts) for rate in (40_000, 44_100)
        )
        return high - low

    assert more(2) > 100 * MIB
    assert abs(more(1)) < 10 * MIB


def test_soft_masks_in_bands_take_less(predictor: Predictor) -> None:
    soft, hard = (song_memory(predictor, 44_100, 2, 5.0, soft=soft) for soft in (True, False))
    assert (soft < hard) == (predictor.card.bands > 0)
    own = hard if predictor.card.name == "paper" else soft
    assert song_memory(predictor, 44_100, 2, 5.0) == own


def test_half_precision_takes_less(predictor: Predictor) -> None:
    card = find_card(predictor.card.name)
    half = Predictor(card, choose_device("cpu"), "half")
    less, more = (song_memory(each, 44_100, 2, 5.0) for each in (half, predictor))
    assert more / 2 < less < more  # the network's layers are not all


def test_too_little_for_any_segment(predictor: Predictor) -> None:
    limit = MemoryLimit(300 * MIB, 200 * MIB, jobs=2)
    with pytest.raises(UsageError, match=r"too little: got 300M, wanted at least \d+M for 2 chan"):
        limit.segment_seconds(predictor, 44_100, 2, 20.0)


def test_the_least_it_names_is_enough(predictor: Predictor) -> None:
    with pytest.raises(UsageError) as caught:
        MemoryLimit(1, 250 * MIB, jobs=2).segment_seconds(predictor, 44_100, 2, 20.0)
    least = int(str(caught.value).split("at least ")[1].split("M")[0])
    limit = MemoryLimit(least * MIB, 250 * MIB, jobs=2)
    assert limit.segment_seconds(predictor, 44_100, 2, 20.0) < 0.6  # of the same frames as 0.5 s
    with pytest.raises(UsageError):
        MemoryLimit((least - 2) * MIB, 250 * MIB, jobs=2).segment_seconds(
            predictor, 44_100, 2, 20.0
        )


def test_a_wish_for_less_is_kept(predictor: Predictor) -> None:
    limit = MemoryLimit(8192 * MIB, 250 * MIB)
    assert limit.segment_seconds(predictor, 44_100, 2, 0.2) == 0.2
    assert limit.segment_seconds(predictor, 44_100, 2, 7.0) == 7.0


def test_the_stems_are_the_same(
    predictor: Predictor, write_song: SongWriter, tmp_path: Path
) -> None:
    song = write_song(seconds=4.0, subtype="FLOAT")
    separator = Separator(predictor.card.name, "cpu", precision="float32")
    tight = song_memory(predictor, 44_100, 2, 1.5)
    results = {}
    for name, limit in {"free": None, "tight": MemoryLimit(tight, 0)}.items():
        results[name] = separate_file(
            song, tmp_path / name, separator=separator, segment_seconds=60.0, memory=limit
        )
    assert results["free"].segment_seconds == 60.0
    assert results["tight"].segment_seconds == pytest.approx(1.5, abs=0.1)
    for source in SOURCES:
        free, tight = (soundfile.read(results[name].stems[source])[0] for name in results)
        # Hard masks flip where a probability is one half to within rounding: not in this song.
        assert np.abs(free - tight).max() < 1e-5  # as in test_separate


@pytest.fixture
def peak(write_song: SongWriter, tmp_path: Path) -> Callable[..., tuple[dict[str, object], int]]:
    """Separate a song in a process of its own; give its report and its peak memory in bytes."""
    song = write_song(seconds=25.0)

    def peak(*arguments: str) -> tuple[dict[str, object], int]:
        script = (
            "import sys; from stemsplit.cli.app import run; code = run(sys.argv[1:])\n"
            "from stemsplit.memory import peak_memory; print(peak_memory(), file=sys.stderr)\n"
            "sys.exit(code)"
        )
        line = [str(song), "-o", str(tmp_path / "out"), "--json", "-q", "--no-config"]
        done = subprocess.run(
            [sys.executable, "-c", script, *line, *arguments, "-d", "cpu"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        return json.loads(done.stdout)["songs"][0], int(done.stderr)

    return peak


@pytest.mark.parametrize(
    ("model", "limit"), [("tiny", 600), ("base", 700), ("tiny", 800), ("paper", 700)]
)
def test_a_process_keeps_to_it(
    peak: Callable[..., tuple[dict[str, object], int]], model: str, limit: int
) -> None:
    """The estimate is from above; a tenth is for allocators and numbers of cores we do not know."""
    report, bytes_taken = peak("-m", model, "--max-memory", f"{limit}M")
    assert report["status"] == "done"
    assert 0.5 <= float(str(report["segment_seconds"])) < 20
    assert bytes_taken < 1.1 * limit * MIB


def test_the_command_refuses_what_cannot_be(
    write_song: SongWriter, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    song = write_song(seconds=0.5)
    line = [str(song), "-o", str(tmp_path / "out"), "-d", "cpu", "--no-config"]
    assert run([*line, "--max-memory", "64M"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("stemsplit: error: --max-memory is too little: got 64M, wanted at least")
    assert "M for 2 channels" in err
    assert not (tmp_path / "out").exists()
    assert run([*line, "--max-memory", "much"]) == 2
    assert "bad --max-memory: got much" in capfd.readouterr().err


def test_the_profile_says_which_segment(
    write_song: SongWriter, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    song = write_song(seconds=0.5)
    line = [str(song), "-o", str(tmp_path / "out"), "-d", "cpu", "--no-config", "--profile", "-q"]
    assert run([*line, "--segment", "7.5", "--max-memory", "8G"]) == 0
    assert "7.5 s at a time" in " ".join(capfd.readouterr().out.split())
