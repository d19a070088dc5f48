"""A song that changes, is replaced or is closed while it is separated."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from stemsplit.audio import AudioReader
from stemsplit.errors import InputError, OutputError
from stemsplit.manifest import fingerprint
from stemsplit.separate import Separator
from stemsplit.song import separate_file
from stemsplit.writer import SongWriter


@pytest.fixture(scope="module")
def separator(random_model: Path) -> Separator:
    return Separator(str(random_model), "cpu", threads=1)


def test_a_song_is_read_by_nobody_when_it_is_closed(separator, write_song, tmp_path, monkeypatch):
    """Where writing fails, the thread that reads ahead ends before the song's file is closed."""
    reading = threading.Event()
    closed_while_read = []
    read, close = AudioReader.blocks, AudioReader.__exit__

    def blocks(reader, samples):
        for block in read(reader, samples // 4):
            reading.set()
            time.sleep(0.2)
            reading.clear()
            yield block

    def exit_(reader, *error):
        closed_while_read.append(reading.is_set())
        return close(reader, *error)

    def full(_writer, _stems):
        reading.wait(10)
        raise OutputError("no space")

    song = write_song(seconds=10.0)
    monkeypatch.setattr(AudioReader, "blocks", blocks)
    monkeypatch.setattr(AudioReader, "__exit__", exit_)
    monkeypatch.setattr(SongWriter, "write", full)
    with pytest.raises(OutputError, match="no space"):
        separate_file(song, tmp_path / "out", separator=separator, segment_seconds=0.5)
    assert closed_while_read
    assert not any(closed_while_read)


@pytest.mark.parametrize(("mode", "at"), [("ab", 0), ("r+b", 5000)])
def test_a_song_that_changes_meanwhile_is_not_done(separator, write_song, tmp_path, mode, at):
    """It grows, or is written anew at the same length, as when a DAW exports it again."""
    song = write_song(seconds=1)

    def change(_progress):
        with song.open(mode) as file:
            file.seek(at)
            file.write(b"more")
        os.utime(song, (1, 1))  # whatever the clock's steps are

    with pytest.raises(InputError, match=r"changed while it was read; try again"):
        separate_file(song, tmp_path / "out", separator=separator, on_progress=change)
    assert not (tmp_path / "out").exists()


def test_a_song_that_is_replaced_before_it_is_hashed_is_not_done(
    separator, write_song, tmp_path, monkeypatch
):
    """Its header was read already, and tells the length of the one before."""
    song, longer = write_song(seconds=1), write_song("longer.wav", 2)

    def replaced(path):
        song.write_bytes(longer.read_bytes())
        os.utime(song, (1, 1))
        return fingerprint(path)

    monkeypatch.setattr("stemsplit.song.fingerprint", replaced)
    with pytest.raises(InputError, match=r"changed while it was read; try again"):
        separate_file(song, tmp_path / "out", separator=separator)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shifts", [1, 3])
def test_no_thread_reads_a_song_that_is_closed(random_model, write_song, tmp_path, shifts):
    """Whoever is told of progress fails, and what is raised keeps what it was raised from."""
    threads = []
    close = AudioReader.close

    def counted(reader):
        names = [thread.name for thread in threading.enumerate()]
        threads.append([name for name in names if name.startswith("ThreadPoolExecutor")])
        close(reader)

    def fail(_progress):
        raise RuntimeError

    separator = Separator(str(random_model), "cpu", threads=1, shifts=shifts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AudioReader, "close", counted)
        with pytest.raises(RuntimeError):
            separate_file(
                write_song(seconds=2),
                tmp_path,
                separator=separator,
                segment_seconds=0.5,
                on_progress=fail,
            )
    assert threads[-1] == []
