"""What people type out of habit: it works, or the line that refuses it says what to type."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from stemsplit.cli.app import run
from stemsplit.cli.habits import translated

COMMANDS = ("separate", "watch", "info", "models")


@pytest.fixture
def answered(tmp_path, monkeypatch, capfd):
    """Run a command line in the test's folder; give its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def answered(*arguments):
        code = run([*map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err.removeprefix("stemsplit: error: ").rstrip("\n")

    return answered


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("song.wav", "-n", "base", "-o", "out"), "no such option: -n; use -m NAME"),
        (("song.wav", "--flac", "-o", "out"), "no such option: --flac; use -f flac"),
        (("song.wav", "--int24", "-o", "out"), "use --bit-depth 24"),
        (("song.wav", "-o", "out", "-b", "320"), "no such option: -b; use -f mp3 --bitrate KBPS"),
        (("song.wav", "-o", "out", "--wiener", "1"), "leave it out: these models' stems lose"),
        (("song.wav", "-o", "out", "--capture", "log"), "write it first: stemsplit --capture"),
        (("song.wav", "out"), "name a folder, such as -o out/"),
        (("-i", "song.wav", "-o", "out"), "leave it out: songs need no option"),
        (("--list-models",), "run stemsplit models"),
        (("seperate", "song.wav", "-o", "out"), "did you mean stemsplit separate?"),
        (("song.wav", "-o", "out", "--log", "-"), "choose another --log"),
        (("song.wav", "-o", "out.flac"), "for one file: --stems NAME -o - > out.flac"),
        (("-", "-o", "-", "--stems", "vocals", "--skip-existing"), "a folder to look into"),
        (("info", "-"), "save what the pipe gives first"),
        (("~nobody-here/song.wav", "-o", "out"), "write ./~nobody-here/song.wav"),
    ],
)
def test_what_is_called_otherwise_here(answered, arguments, remedy):
    code, out, err = answered(*arguments)
    assert (code, out) in ((2, ""), (73, ""))
    assert remedy in err
    assert "\n" not in err
    assert list(Path().iterdir()) == []


def test_help_and_version_are_given_by_any_name(answered):
    wanted = answered("--help")
    assert wanted[0] == 0
    assert "SONG... | COMMAND" in wanted[1]
    assert answered("-h") == answered("help") == wanted
    assert answered("watch", "-h") == answered("help", "watch") == answered("watch", "--help")
    assert answered("version") == answered("--version")
    assert answered("models", "list") == answered("models")


def test_a_file_may_be_called_like_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert translated(["help", "-o", "out"], COMMANDS) == ["--help", "-o", "out"]
    Path("help").touch()
    Path("seperate").touch()
    assert translated(["help", "-o", "out"], COMMANDS) == ["help", "-o", "out"]
    assert translated(["seperate"], COMMANDS) == ["seperate"]
    assert translated(["sep*"], COMMANDS) == ["sep*"]


def test_a_name_that_begins_like_an_option(answered, write_song):
    write_song("-mix.wav", 0.1)
    for songs in (("-mix.wav",), ("song.wav", "-mix.wav")):
        code, _, err = answered(*songs, "-o", "out")
        assert code == 2
        assert err.endswith("got -mix.wav; write ./-mix.wav")
    arguments = ["-o", "out", "--", "-mix.wav"]
    assert translated(arguments, COMMANDS) == arguments


def test_help_shows_no_types(answered):
    for command in ("separate", "watch", "info", "train", "evaluate", "doctor"):
        _, out, _ = answered(command, "--help")
        assert "<bool>" not in out
        assert "list[" not in out
        assert "{" not in out.split("Usage:")[1].split("\n")[0]


def test_help_is_folded_once(answered, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    _, out, _ = answered("separate", "--help")
    paragraph = out.split("The stems are")[1].split("Exit code")[0].strip()
    lines = [line.strip() for line in paragraph.splitlines()]
    assert len(lines) > 2
    assert all(len(line) > 50 for line in lines[1:-1])


def test_a_command_of_nothing_shows_its_help_and_no_error(answered):
    code, out, err = answered("dataset")
    assert code == 2
    assert "render" in out + err
    assert "error:" not in err


def test_a_home_is_found_where_no_shell_has_looked_for_it(
    answered, write_song, random_model, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    write_song("song.wav", 0.1).rename(home / "song.wav")
    options = ("-m", random_model, "-d", "cpu", "-q")
    assert answered("~/song.wav", "--output=~/one", *options)[0] == 0
    assert (home / "one/song/bass.wav").is_file()
    monkeypatch.setenv("STEMSPLIT_OUTPUT", "~/two")
    assert answered("~/*.wav", *options)[0] == 0
    assert (home / "two/song/bass.wav").is_file()
    assert not Path("~").exists()
    write_song("~nobody-here.wav", 0.1)
    assert answered("~nobody-here.wav", "-o", "three", *options)[0] == 0
    assert Path("three/~nobody-here/bass.wav").is_file()


def test_what_cannot_be_read_is_told_by_who_reads_it(answered, write_song, monkeypatch):
    """Not by the parser, for which it would be a wrong option and end the whole batch."""
    song = write_song("song.wav", 0.1)
    access, opened = os.access, Path.open

    def allowed(path, mode, **more):
        return access(path, mode, **more) and not (mode == os.R_OK and "song" in str(path))

    def forbidden(path, *mode, **more):
        if path.name == song.name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *mode, **more)

    monkeypatch.setattr(os, "access", allowed)
    monkeypatch.setattr(Path, "open", forbidden)
    for arguments in (("song.wav", "-o", "out"), ("info", "song.wav")):
        code, _, err = answered(*arguments)
        assert code == 66
        assert err.startswith("cannot open song.wav: got Permission denied; check its permissions")


def test_capitals_and_dots_say_the_same(answered, write_song, random_model):
    write_song("song.wav", 0.1)
    options = ("-m", random_model, "-d", "CPU", "-f", ".FLAC", "--stems", "Vocals, BASS", "-q")
    assert answered("song.wav", "-o", "out", "--clip", "Scale", *options)[0] == 0
    assert sorted(path.name for path in Path("out/song").iterdir()) == ["bass.flac", "vocals.flac"]
