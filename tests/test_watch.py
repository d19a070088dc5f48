"""stemsplit watch: when a file is taken for complete, and a process that is watched at work."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import binding_permissions
from stemsplit.cli import watch as watch_command
from stemsplit.cli.app import run
from stemsplit.watch import FolderWatch, looks

SETTLE = 3.0


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def watched(folder, tmp_path, clock):
    return FolderWatch(folder, tmp_path / "out", settle=SETTLE, clock=clock)


@pytest.fixture
def look(watched, clock):
    """Let seconds pass and look; give the names of what is ready."""

    def look(seconds=0.0):
        clock.now += seconds
        return sorted(song.path.name for song in watched.ready())

    return look


def test_a_file_is_given_once_when_it_has_settled(folder, look, watched):
    (folder / "a.wav").write_bytes(b"RIFF")
    assert look() == []
    assert watched.waiting == 1
    assert look(SETTLE - 0.1) == []
    assert look(0.1) == ["a.wav"]
    assert watched.waiting == 0
    assert look(100) == []


def test_a_file_that_grows_is_waited_for(folder, look):
    file = folder / "a.wav"
    for size in range(1, 6):
        file.write_bytes(b"R" * size)
        assert look(SETTLE - 1) == []
    assert look(SETTLE) == ["a.wav"]


def test_an_empty_file_is_not_complete(folder, look, watched):
    (folder / "a.wav").touch()
    assert look() == look(SETTLE) == look(SETTLE) == []
    assert watched.waiting == 0  # nobody knows that anything will come
    (folder / "a.wav").write_bytes(b"RIFF")
    assert look() == []
    assert look(SETTLE) == ["a.wav"]


def test_a_changed_file_is_given_again(folder, look):
    (folder / "a.wav").write_bytes(b"RIFF")
    look()
    look(SETTLE)
    (folder / "a.wav").write_bytes(b"RIFF again")
    assert look() == []
    assert look(SETTLE) == ["a.wav"]


@pytest.mark.parametrize("stamp", [0, 4_000_000_000])
def test_the_time_of_day_does_not_matter(folder, look, stamp, monkeypatch):
    # A file from 1970 or 2096, and a wall clock that is set back and forth.
    assert inspect.signature(FolderWatch).parameters["clock"].default is time.monotonic
    (folder / "a.wav").write_bytes(b"RIFF")
    os.utime(folder / "a.wav", (stamp, stamp))
    assert look() == []
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert look(SETTLE / 2) == []
    monkeypatch.setattr(time, "time", lambda: 5e9)
    assert look(SETTLE / 2) == ["a.wav"]


def test_a_burst(folder, look):
    for number in range(1000):
        (folder / f"{number:03}.wav").write_bytes(b"RIFF")
    assert look() == []
    (folder / "late.wav").write_bytes(b"RIFF")
    assert look(1) == []
    assert len(look(SETTLE - 1)) == 1000
    assert look(1) == ["late.wav"]


def test_what_is_no_song(folder, clock):
    for name in (".hidden.wav", "notes.txt", "song.wav.part", "out/song/vocals.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    watched = FolderWatch(folder, folder / "out", settle=0, clock=clock)
    assert watched.ready() == []


def test_folders_in_it(folder, look):
    (folder / "album").mkdir()
    (folder / "album" / "a.wav").write_bytes(b"RIFF")
    look()
    assert look(SETTLE) == ["a.wav"]


def test_a_folder_that_goes_and_comes_back(folder, look, watched, tmp_path):
    (folder / "a.wav").write_bytes(b"RIFF")
    look()
    assert look(SETTLE) == ["a.wav"]
    folder.rename(tmp_path / "away")
    assert look() == []
    assert not watched.present
    (tmp_path / "away").rename(folder)
    assert look(SETTLE) == []  # the same file as before
    assert watched.present
    (folder / "b.wav").write_bytes(b"RIFF")
    look()
    assert look(SETTLE) == ["b.wav"]


def test_what_is_gone_is_forgotten(folder, look, watched):
    (folder / "a.wav").write_bytes(b"RIFF")
    (folder / "b.wav").write_bytes(b"RIFF")
    look()
    (folder / "b.wav").unlink()
    assert look(SETTLE) == ["a.wav"]
    (folder / "a.wav").unlink()
    assert look() == []
    assert watched._given == watched._since == {}


def test_once_more(folder, watched, look, clock):
    (folder / "a.wav").write_bytes(b"RIFF")
    look()
    clock.now += SETTLE
    (song,) = watched.ready()
    watched.again(song, 60)
    assert look(59) == []
    assert look(1) == ["a.wav"]


def test_looks_wait_for_a_folder_and_see_what_happens(folder, tmp_path):
    watched = FolderWatch(folder, tmp_path / "out", settle=0)
    endless = looks(watched)
    assert next(endless) == []
    (folder / "a.wav").write_bytes(b"RIFF")
    assert [song.track for song in next(endless)] == ["a"]
    shutil.rmtree(folder)
    assert next(endless) == []
    assert not watched.present
    folder.mkdir()
    (folder / "b.wav").write_bytes(b"RIFF")
    while not (songs := next(endless)):
        pass
    assert [song.track for song in songs] == ["b"]


# The command -------------------------------------------------------------------------------------


@pytest.fixture
def once(folder, tmp_path, random_model, capfd):
    """Run the command to the end of all that is there; give its code, JSON lines and errors."""

    def once(*arguments, output=tmp_path / "out"):
        line = ["watch", str(folder), "-o", str(output), "-m", str(random_model), "--once"]
        code = run([*line, "--settle", "0.1", "--json", "--no-config", *arguments])
        out, err = capfd.readouterr()
        return code, [json.loads(text) for text in out.splitlines()], err

    return once


def test_each_file_once_over_restarts(once, write_song, tmp_path):
    write_song("in/a.wav", 0.2)
    write_song("in/deep/b.flac", 0.2)
    code, songs, _ = once()
    assert code == 0
    assert [song["status"] for song in songs] == ["done", "done"]
    assert (tmp_path / "out" / "deep" / "b" / "vocals.wav").exists()
    code, songs, err = once()
    assert [song["status"] for song in songs] == ["skipped", "skipped"]
    assert err.count("\n") == 1  # and no line for each of them
    write_song("in/a.wav", 0.3)
    assert sorted(song["status"] for song in once()[1]) == ["done", "skipped"]


@pytest.mark.parametrize("place", ["", "stems"])
def test_stems_in_the_watched_folder_are_no_songs(once, folder, write_song, place):
    write_song("in/a.wav", 0.2)
    assert len(once(output=folder / place)[1]) == 1
    (song,) = once(output=folder / place)[1]
    assert (song["status"], song["input"]) == ("skipped", str(folder / "a.wav"))


def test_a_bad_file_stops_no_other(once, folder, write_song):
    (folder / "bad.wav").write_text("la la la")
    write_song("in/good.wav", 0.2)
    code, songs, err = once()
    assert code == 3
    assert [song["status"] for song in songs] == ["failed", "done"]
    assert "cannot read" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--settle", "-1"], 2, "bad --settle"),
        (["-o", "-"], 2, "watch needs a folder"),
        (["-d", "cuda:77"], 69, "cuda:77 is not there"),
        (["-m", "nonesuch"], 78, "unknown model"),
        (["--filename", "{stem}.{ext}"], 2, "songs would share their files' names"),
    ],
)
def test_what_cannot_be_meant(once, arguments, code, message):
    got, songs, err = once(*arguments)
    assert (got, songs) == (code, [])
    assert message in err


def test_no_folder(capfd, tmp_path):
    assert run(["watch", str(tmp_path / "none"), "-o", str(tmp_path)]) == 66
    assert "make it first" in capfd.readouterr().err
    (tmp_path / "song.wav").touch()
    assert run(["watch", str(tmp_path / "song.wav"), "-o", str(tmp_path)]) == 66
    assert "song.wav: wanted one that may be read; name the folder" in capfd.readouterr().err


def test_without_watchfiles(once, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    code, _, err = once()
    assert code == 69
    assert 'pip install "watchfiles>=1"' in err


def test_a_full_disk_is_tried_again(tmp_path):
    failed = watch_command.FAILED
    given = []

    class Watched:
        def again(self, song, seconds):
            given.append((song.path.name, seconds))

    class Thing:
        def __init__(self, **facts):
            self.__dict__.update(facts)

    names = {"full.wav": 74, "gone.wav": 66, "bad.wav": 65, "locked.wav": 66, "busy.wav": 69}
    for name in names.keys() - {"gone.wav"}:
        (tmp_path / name).touch()
    songs = [Thing(path=tmp_path / name) for name in names]
    results = [Thing(status=failed, error=Thing(exit_code=code)) for code in names.values()]
    watch_command._try_again(songs, Thing(songs=results), Watched())
    assert given == [
        ("full.wav", 60.0),
        ("gone.wav", 0),
        ("locked.wav", 60.0),
        ("busy.wav", 60.0),
    ]


def test_a_file_in_the_way_is_told_of_once(folder, write_song, tmp_path, monkeypatch, capfd):
    """A stem that was changed since, say: until its owner moves it nothing helps."""
    monkeypatch.setattr(watch_command, "_RETRY_SECONDS", 0.0)
    write_song("in/a.wav", 0.1)
    line = ["watch", str(folder), "-o", str(tmp_path / "out"), "--settle", "0.1", "--no-config"]
    assert run([*line, "--once", "-q"]) == 0
    (tmp_path / "out/a/bass.wav").write_text("mine")
    looked = []

    def looks(watched):
        for look in range(16):
            looked.append(watched)
            if look == 8:
                (tmp_path / "out/a/bass.wav").rename(tmp_path / "out/a/mine.wav")
            yield watched.ready()
            time.sleep(0.06)
        raise KeyboardInterrupt

    monkeypatch.setattr("stemsplit.watch.looks", looks)
    assert run(line) == 130
    assert len(looked) == 16
    err = capfd.readouterr().err
    assert err.count("a stem that was changed since") == 1
    assert err.count("a.wav: vocals, drums, bass, other in") == 1  # once it was moved
    assert (tmp_path / "out/a/mine.wav").read_text() == "mine"


def test_a_song_that_may_not_be_read_is_told_of_once(
    folder, write_song, tmp_path, monkeypatch, capfd
):
    """And done as soon as it may be, though that changes neither its size nor its time."""
    monkeypatch.setattr(watch_command, "_RETRY_SECONDS", 0.0)
    song = write_song("in/a.wav", 0.1)
    line = ["watch", str(folder), "-o", str(tmp_path / "out"), "--settle", "0", "--no-config"]
    done = tmp_path / "out/a/bass.wav"

    def looks(watched):
        for look in range(12):
            if look == 6:
                assert not done.exists()
                song.chmod(0o644)
            yield watched.ready()
        raise KeyboardInterrupt

    monkeypatch.setattr("stemsplit.watch.looks", looks)
    with binding_permissions():
        song.chmod(0)
        assert run(line) == 130
    err = capfd.readouterr().err
    assert err.count("cannot open") == 1
    assert err.count("a.wav: vocals, drums, bass, other in") == 1
    assert done.exists()


def test_a_folder_that_may_not_be_read_is_told_of(once, folder, write_song):
    write_song("in/a.wav", 0.1)
    write_song("in/locked/b.wav", 0.1)
    with binding_permissions():
        (folder / "locked").chmod(0)
        code, songs, err = once()
        (folder / "locked").chmod(0o755)
    assert code == 66
    assert [song["status"] for song in songs] == ["done"]
    assert err.count("locked: got Permission denied") == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_running_watch(heeding, folder, tmp_path, random_model, write_song, number, code):
    line = [*heeding(number), "-m", "stemsplit", "watch", str(folder), "-o", str(tmp_path / "out")]
    line += ["-m", str(random_model), "--settle", "0.2", "--json", "--no-config", "-q"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        for name in ("a", "b"):
            # Written elsewhere and moved in, and written in place: both are common.
            song = write_song(f"{name}.wav", 0.2)
            if name == "a":
                song.rename(folder / "a.wav")
            else:
                (folder / "b.wav").write_bytes(song.read_bytes())
            facts = json.loads(watch.stdout.readline())
            assert (facts["status"], facts["input"]) == ("done", str(folder / f"{name}.wav"))
        watch.send_signal(number)
        out, err = watch.communicate(timeout=60)
    assert (watch.returncode, out) == (code, "")
    assert err == ("stemsplit: interrupted\n" if number == signal.SIGINT else "")
