"""The command line: what it accepts, writes and prints. Errors are in test_cli_errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from stemsplit.cli.app import run
from stemsplit.config import SOURCES

FILES = sorted(f"{source}.wav" for source in SOURCES)


@pytest.fixture
def separate(random_model):
    """Run the command with a model of random weights; give its exit code."""

    def separate(*arguments):
        return run([*map(str, arguments), "--model", str(random_model)])

    return separate


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from stemsplit.cli.app import run; code = run(['--help']);"
        "print(code, *sorted({'torch', 'numpy', 'soundfile', 'soxr'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "0"
    for command in ("separate", "train", "evaluate"):
        assert command in result.stdout


def test_no_arguments_is_help_and_a_usage_error(capfd):
    assert run([]) == 2
    assert "stemsplit song.wav -o out/" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "sample_rate", "channels", "subtype", "expected"),
    [
        ("song.wav", 44_100, 2, "PCM_16", "PCM_16"),
        ("song.flac", 48_000, 1, "PCM_24", "PCM_24"),
        ("song.mp3", 22_050, 2, None, "FLOAT"),
        ("song.wav", 8_000, 3, "DOUBLE", "DOUBLE"),
        ("song.aiff", 96_000, 2, "PCM_S8", "PCM_16"),
    ],
)
def test_stems_have_the_format_of_the_song(
    write_song, separate, tmp_path, name, sample_rate, channels, subtype, expected
):
    song = write_song(
        name, seconds=0.4003, sample_rate=sample_rate, channels=channels, subtype=subtype
    )
    assert separate(song, "-o", tmp_path / "out") == 0
    assert names_in(tmp_path / "out") == [".stemsplit", "song"]
    assert names_in(tmp_path / "out" / "song") == FILES
    for name in FILES:
        stem = soundfile.info(tmp_path / "out" / "song" / name)
        assert (stem.samplerate, stem.channels, stem.subtype) == (sample_rate, channels, expected)
        assert stem.frames == soundfile.info(song).frames


def test_the_verb_is_implied_wherever_the_options_are(write_song, separate, tmp_path):
    song = write_song(seconds=0.3)
    for folder, arguments in {
        "a": (song, "-o", tmp_path / "a"),
        "b": ("separate", song, "-o", tmp_path / "b"),
        "c": ("--output", tmp_path / "c", "--quiet", song),
    }.items():
        assert separate(*arguments) == 0
        for name in FILES:
            stem = tmp_path / folder / "song" / name
            assert stem.read_bytes() == (tmp_path / "a" / "song" / name).read_bytes()


def test_a_song_named_like_a_command(write_song, separate, tmp_path, monkeypatch):
    write_song(seconds=0.1).rename(tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    assert separate("./train", "-o", "out") == 0
    assert names_in(tmp_path / "out" / "train") == FILES


def test_soft_masks_differ_from_hard_ones(write_song, separate, tmp_path):
    song = write_song(seconds=0.3)
    assert separate(song, "-o", tmp_path / "hard") == 0
    assert separate(song, "-o", tmp_path / "soft", "--soft") == 0
    hard, soft = (
        soundfile.read(tmp_path / kind / "song" / "vocals.wav")[0] for kind in ("hard", "soft")
    )
    assert not np.array_equal(hard, soft)


def test_a_line_for_each_song_on_stderr(write_song, separate, tmp_path, capfd):
    songs = [write_song("one.wav", 0.3), write_song("two.flac", 0.3)]
    assert separate(*songs, "-o", tmp_path / "out") == 0
    out, err = capfd.readouterr()
    assert out == ""
    first, second, summary = err.splitlines()
    assert summary == "2 songs: 2 done, 0 skipped, 0 failed"
    assert first.startswith(f"one.wav: {', '.join(SOURCES)} in {tmp_path / 'out' / 'one'} (0.3 s")
    assert second.startswith("two.flac: ")
    assert first.endswith(" × real time, cpu)")


def test_songs_of_one_name_are_told_apart(write_song, separate, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("album/1/a.wav", "album/2/a.wav", "album/2/b.wav"):
        write_song(name, 0.1)
    assert separate("album", "-o", "out") == 0
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["album/1/a.wav", "album/2/a.wav", "b.wav"]


def test_a_song_named_twice_is_separated_once(write_song, separate, tmp_path):
    write_song("album/1.wav", 0.2)
    album = tmp_path / "album"
    assert separate(album, album / "1.wav", "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == ["1"]


def test_quiet_prints_nothing(write_song, separate, tmp_path, capfd):
    assert separate(write_song(seconds=0.3), "-o", tmp_path / "out", "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_profile_prints_every_stage(write_song, separate, tmp_path, capfd):
    assert separate(write_song(seconds=0.3), "-o", tmp_path / "out", "-q", "--profile") == 0
    out, err = capfd.readouterr()
    assert err == ""
    for row in ("import", "load model", "decode", "resample", "STFT", "network", "masks + iSTFT"):
        assert f"│ {row} " in out
    for row in ("encode", "everything else", "total"):
        assert f"│ {row} " in out
    assert "peak memory" in out
