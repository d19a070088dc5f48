"""stemsplit info: what it says of a file, and that separating does what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from stemsplit.cli.app import run


@pytest.fixture
def info(capfd, random_model):
    def info(*arguments):
        line = ["info", *map(str, arguments), "-m", str(random_model), "--no-config"]
        code = run(line)
        out, err = capfd.readouterr()
        assert (code, err) == (0, "")
        return json.loads(out) if "--json" in arguments else out

    return info


def test_the_name_is_the_one_that_separating_gives(write_song, random_model, tmp_path, capfd):
    first, second = write_song("a/mix.wav", seconds=0.1), write_song("b/mix.wav", seconds=0.2)
    out = str(tmp_path / "out")
    assert run([str(first), str(second), "-o", out, "-m", str(random_model), "-q"]) == 0
    capfd.readouterr()
    assert run(["info", str(second), "-o", out, "-m", str(random_model), "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)["plan"]
    assert plan["done_before"] is True
    assert plan["outputs"]["bass"].endswith("mix (b)/bass.wav")


def test_stdout_is_no_folder(write_song, capfd):
    assert run(["info", str(write_song(seconds=0.1)), "-o", "-"]) == 2
    assert "info needs a folder" in capfd.readouterr().err


def test_for_people(info, write_song):
    song = write_song("song.flac", 1.5, sample_rate=48_000, channels=1, subtype="PCM_24")
    out = info(song)
    for words in ("FLAC, PCM_24", "48000 Hz, mono", "0:01.50 (72000 samples)", "random, hard"):
        assert words in out
    assert "WAV, 24 bit" in out
    assert out.count("writes") == 4
    assert "OUTPUT/song/vocals.wav" in out


def test_it_writes_nothing(info, write_song, tmp_path):
    song = write_song(seconds=0.1)
    info(song, "-o", tmp_path / "out")
    assert list(tmp_path.iterdir()) == [song]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-f", "flac", "--two-stems", "vocals"],
        ["--stems", "bass,drums", "--residual", "--filename", "{folder}/{stem} of {track}.{ext}"],
        ["-f", "stem"],
    ],
)
def test_separating_does_what_it_says(info, write_song, random_model, tmp_path, arguments, capfd):
    song = write_song(seconds=0.3, channels=2)
    where = ["-o", str(tmp_path / "out"), *arguments]
    plan = info(song, *where, "--json")["plan"]
    assert plan["done_before"] is False
    assert run([str(song), *where, "-m", str(random_model), "--no-config", "--json"]) == 0
    done = json.loads(capfd.readouterr().out)["songs"][0]
    assert done["outputs"] == plan["outputs"]
    for path in done["outputs"].values():
        assert Path(path).is_file()
    if plan["format"] != "stem":
        assert {soundfile.info(p).subtype for p in done["outputs"].values()} == {plan["subtype"]}
    assert info(song, *where, "--json")["plan"]["done_before"] is True
    assert info(song, *where, "--soft", "--json")["plan"]["done_before"] is False
    assert info(song, *where, "--shifts", "2", "--json")["plan"]["done_before"] is False


def test_the_facts(info, write_song):
    song = write_song("song.mp3", 0.5, sample_rate=44_100)
    facts = info(song, "--json")["input"]
    assert (facts["path"], facts["bytes"]) == (str(song), song.stat().st_size)
    assert (facts["sample_rate"], facts["channels"], facts["samples"]) == (44_100, 2, 22_050)


def test_a_file_that_is_cut_short(info, write_song):
    song = write_song("song.wav", 0.5)
    with song.open("rb+") as file:
        file.truncate(song.stat().st_size - 1000)
    assert "1000 bytes at its end are missing; see whether it was copied whole" in info(song)
    assert info(song, "--json")["input"]["missing"] == "1000 bytes at its end are missing"
    song = write_song("song.mp3", 2.0)
    with song.open("rb+") as file:
        file.truncate(song.stat().st_size // 2)
    assert "wanted 88200 as its header says; see whether" in info(song)


def test_what_the_stems_are(info, write_song):
    song = write_song("song.flac", 0.5, sample_rate=48_000, channels=1)
    assert "STEM, stereo, with the rate and length of the song" in info(song, "-f", "stem")
    assert "MP3, 320 kbit/s, with the rate" in info(song, "-f", "mp3", "--bitrate", "320")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["missing.wav"], 66), (["song.wav", "-f", "mp4"], 2), (["song.wav", "--stems", "piano"], 2)],
)
def test_errors_are_those_of_separating(write_song, monkeypatch, tmp_path, capfd, arguments, code):
    write_song(seconds=0.1)
    monkeypatch.chdir(tmp_path)
    assert run(["info", *arguments]) == code
    assert capfd.readouterr().err.count("\n") == 1
