"""Damaged files of every format: samples or one error, whatever happens to the bytes.

A slice of what `make fuzz` tries. Each bug that it found has a test of its own below.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from damaged_files import NAMES, RATE, SAMPLES, whole_files
from stemsplit.audio import AudioReader
from stemsplit.errors import AudioError

SECONDS = 10
LEAST = 2 * len(NAMES)
"""Mutants, however busy the machine: each format read, and each separated."""


def test_mutants_of_every_format():
    script = Path(__file__).with_name("fuzz_files.py")
    limits = ["--count", "3000", "--least", str(LEAST), "--seconds", str(SECONDS)]
    result = subprocess.run(
        [sys.executable, str(script), *limits], capture_output=True, text=True, check=False
    )
    assert result.stdout, result.stderr
    report = json.loads(result.stdout)
    assert report["faults"] == []
    assert report["tried"] >= LEAST
    assert set(report["by_format"]) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_of_every_format_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(whole_files()[name])
    with AudioReader(tmp_path / name) as reader:
        samples = sum(block.shape[1] for block in reader.blocks(1000))
        assert reader.channels == 2
        assert reader.sample_rate in (RATE, 48_000)
    # WMA drops its first frame, and codecs that state no length pad the last: within a frame.
    assert abs(samples - SAMPLES) <= 2048


def test_a_codec_nobody_knows(tmp_path):
    data = bytearray(whole_files()["pcm16.wav"])
    data[20:22] = b"\x77\x77"  # the format's tag
    (tmp_path / "song.mka").write_bytes(data)  # a name for which FFmpeg's reason counts
    with pytest.raises(AudioError, match=r"cannot read .* a codec that FFmpeg does not know"):
        AudioReader(tmp_path / "song.mka")


def test_what_libraries_print_stays_off_stderr(tmp_path, write_song):
    """Libmpg123 remarks on noise between frames; the process's own stderr, as a shell has it."""
    song = write_song("song.mp3", 1.0)
    data = bytearray(song.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 900] = bytes(900)
    song.write_bytes(data)
    read = "import sys, soundfile; soundfile.read(sys.argv[1])"
    remarks = subprocess.run(
        [sys.executable, "-c", read, str(song)], capture_output=True, text=True, check=False
    )
    assert "Illegal Audio-MPEG-Header" in remarks.stderr
    command = [sys.executable, "-m", "stemsplit", str(song), "-o", str(tmp_path / "out")]
    result = subprocess.run([*command, "--no-config"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")
    warned, line = result.stderr.splitlines()
    assert warned.startswith(f"warning: {song} is shorter than it says: got ")
    assert line.startswith("song.mp3: vocals, drums, bass, other in ")
