"""stemsplit watch through bursts, errors of the file system and clocks that are set."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest

from conftest import binding_permissions
from stemsplit import song as song_module
from stemsplit.cli.app import run
from stemsplit.errors import OutputError
from stemsplit.song import FileResult
from stemsplit.watch import FolderWatch, looks

BURST = 1000
TROUBLES = [errno.EIO, errno.ESTALE, errno.EACCES, errno.ETIMEDOUT]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    """Look again after half a second where nothing happens, not after thirty."""
    monkeypatch.setattr("stemsplit.watch._RESCAN_SECONDS", 0.3)


@pytest.fixture
def look(folder, tmp_path):
    """Look once a second of the watch's own clock; give the names of what is ready."""
    now = [0.0]
    watched = FolderWatch(folder, tmp_path / "out", settle=2, clock=lambda: now[0])

    def look(times=1):
        ready = []
        for _ in range(times):
            now[0] += 1
            ready += sorted(song.path.name for song in watched.ready())
        return ready

    return look


@pytest.fixture
def trouble(monkeypatch):
    """Let a call of the system fail on paths below a place; give what ends it."""

    def trouble(name, place, number):
        real = getattr(os, name)

        def fail(path, *args, **kwargs):
            below = isinstance(path, (str, os.PathLike)) and Path(path).is_relative_to(place)
            if below:
                raise OSError(number, os.strerror(number), os.fspath(path))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, name, fail)
        return lambda: monkeypatch.setattr(os, name, real)

    return trouble


def test_a_burst_in_a_real_folder(folder, tmp_path):
    """Files that come while they are looked for, in folders that come too: each once."""
    watched = FolderWatch(folder, tmp_path / "out", settle=0.3)

    def pour():
        for number in range(BURST):
            place = folder / str(number // 100)
            place.mkdir(exist_ok=True)
            (place / f"{number}.wav").write_bytes(b"RIFF")

    pouring = threading.Thread(target=pour)
    endless = looks(watched)
    assert next(endless) == []
    pouring.start()
    seen: Counter[str] = Counter()
    while len(seen) < BURST:
        seen.update(song.path.name for song in next(endless))
    pouring.join()
    for _ in range(3):
        seen.update(song.path.name for song in next(endless))
    assert set(seen.values()) == {1}


def test_a_burst_through_the_command(folder, tmp_path, monkeypatch, capfd):
    """Each becomes one result, whatever happens in between; the network is not the point here."""
    done: Counter[str] = Counter()

    def separate_file(source, output, **_options):
        done[source.name] += 1
        stems = {"vocals": output / source.stem / "vocals.wav"}
        return FileResult(stems, output, 8000, 1, 1, "cpu", "float32", 1.0)

    monkeypatch.setattr(song_module, "separate_file", separate_file)
    for number in range(BURST):
        (folder / f"{number}.au").write_bytes(
            b".snd" + b"".join(n.to_bytes(4, "big") for n in (24, 2, 3, 8000, 1)) + b"\0\0"
        )
    line = ["watch", str(folder), "-o", str(tmp_path / "out"), "--once", "--settle", "0", "-q"]
    assert run([*line, "--json", "--no-config"]) == 0
    out, err = capfd.readouterr()
    assert (out.count('"done"'), err) == (BURST, "")
    assert (len(done), set(done.values())) == (BURST, {1})


@pytest.mark.parametrize("number", TROUBLES)
@pytest.mark.parametrize("call", ["stat", "scandir"])
def test_errors_that_pass_lose_nothing_and_give_nothing_twice(folder, look, trouble, call, number):
    for name in ("a/done.wav", "a/waits.wav", "b/other.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
    (folder / "a/done.wav").write_bytes(b"RIFF")
    assert look(3) == ["done.wav"]
    (folder / "a/waits.wav").write_bytes(b"RIFF")
    assert look() == []
    end = trouble(call, folder / "a", number)
    (folder / "b/other.wav").write_bytes(b"RIFF")
    assert look(3) == ["other.wav"]
    end()
    assert look(3) == ["waits.wav"]
    assert look(5) == []


@pytest.mark.parametrize("number", TROUBLES)
@pytest.mark.parametrize("call", ["stat", "scandir"])
def test_a_folder_that_cannot_be_looked_at_for_a_while(folder, look, trouble, call, number):
    (folder / "done.wav").write_bytes(b"RIFF")
    assert look(3) == ["done.wav"]
    end = trouble(call, folder, number)
    assert look(5) == []
    end()
    (folder / "new.wav").write_bytes(b"RIFF")
    assert look(5) == ["new.wav"]


def test_one_song_that_cannot_be_looked_at_stops_no_other(folder, look, trouble):
    for name in ("bad.wav", "good.wav"):
        (folder / name).write_bytes(b"RIFF")
    end = trouble("stat", folder / "bad.wav", errno.EIO)
    assert look(4) == ["good.wav"]
    end()
    assert look(4) == ["bad.wav"]


def test_a_folder_without_permission_in_it(folder, tmp_path):
    """The system's own errors, from a watch that is running."""
    watched = FolderWatch(folder, tmp_path / "out", settle=0)
    endless = looks(watched)
    (folder / "locked").mkdir()
    with binding_permissions():
        next(endless)
        (folder / "locked").chmod(0)
        (folder / "a.wav").write_bytes(b"RIFF")
        seen = []
        while not seen:
            seen += [song.path.name for song in next(endless)]
        (folder / "locked").chmod(0o755)
        (folder / "locked/b.wav").write_bytes(b"RIFF")
        while len(seen) < 2:
            seen += [song.path.name for song in next(endless)]
    assert seen == ["a.wav", "b.wav"]


def test_a_watch_that_the_system_breaks_off_is_begun_again(folder, tmp_path, monkeypatch):
    import watchfiles

    real, calls = watchfiles.watch, []

    def watch(*args, **kwargs):
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("error in underlying watcher")
        return real(*args, **kwargs)

    monkeypatch.setattr(watchfiles, "watch", watch)
    endless = looks(FolderWatch(folder, tmp_path / "out", settle=0))
    (folder / "a.wav").write_bytes(b"RIFF")
    assert [song.track for song in next(endless)] == ["a"]
    (folder / "b.wav").write_bytes(b"RIFF")
    assert [song.track for song in next(endless)] == ["b"]
    assert [song.track for _ in range(4) for song in next(endless)] == []
    assert len(calls) == 3


@pytest.fixture
def watched_to_its_end(folder, tmp_path, monkeypatch, capfd, write_song):
    """Watch a folder with a song until Ctrl-C, trying again at once; give what is on stderr."""
    from stemsplit.cli import watch as watch_command

    monkeypatch.setattr(watch_command, "_RETRY_SECONDS", 0.1)
    write_song("in/a.wav", 0.05)

    def watched():
        out = str(tmp_path / "out")
        assert run(["watch", str(folder), "-o", out, "--settle", "0.1", "--no-config"]) == 130
        return capfd.readouterr().err

    return watched


def test_an_output_folder_that_cannot_be_looked_at_for_a_while(
    folder, monkeypatch, watched_to_its_end
):
    from stemsplit.store import OutputStore

    real, calls = OutputStore.recover, []

    def recover(store):
        calls.append(1)
        if len(calls) < 3:
            raise OutputError("cannot write out", got="Permission denied")
        if len(calls) > 3:
            raise KeyboardInterrupt
        shutil.copy(folder / "a.wav", folder / "b.wav")  # ends the watch
        real(store)

    monkeypatch.setattr(OutputStore, "recover", recover)
    err = watched_to_its_end()
    assert err.count("Permission denied") == 2
    assert err.count("a.wav: vocals, drums, bass, other in") == 1


def test_stems_whose_folder_is_away_are_made_when_it_is_back(
    folder, monkeypatch, watched_to_its_end
):
    """Tried again, though the song did not change; and then once."""
    real, calls = song_module.separate_file, []

    def away(*args, **kwargs):
        calls.append(1)
        if len(calls) < 3:
            raise OutputError("cannot write out", got="Host is down")
        if len(calls) > 3:
            raise KeyboardInterrupt
        result = real(*args, **kwargs)
        shutil.copy(folder / "a.wav", folder / "b.wav")  # ends the watch
        return result

    monkeypatch.setattr(song_module, "separate_file", away)
    err = watched_to_its_end()
    assert err.count("Host is down") == 2
    assert err.count("a.wav: vocals, drums, bass, other in") == 1
