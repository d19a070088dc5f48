"""Disks that fill up, lock up or go away in the middle of a batch: one line, then it resumes."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import binding_permissions
from stemsplit.batch import DEFAULT_TEMPLATE, Batch, SeparateOptions, SongProgress
from stemsplit.inputs import find_songs
from stemsplit.outputs import OutputOptions
from stemsplit.report import DONE, FAILED, SKIPPED
from stemsplit.separate import Separator

DISK_BYTES = 6_000_000
SONGS = ("1.wav", "2.wav", "3.wav")


class SmallDisk:
    """A disk that can be filled: a real one in memory, or one whose files may not grow.

    The second is for those who may mount nothing; a limit on file sizes stops writes just as well,
    with another error of the system.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
        self.mounted = (
            bool(shutil.which("mount"))
            and not subprocess.run(mount, capture_output=True, check=False).returncode
        )

    def fill(self) -> None:
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, self._limits[1]))
            return
        with (self.folder / "junk").open("wb", 0) as junk, suppress(OSError):
            while True:
                junk.write(bytes(1 << 12))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        (self.folder / "junk").unlink(missing_ok=True)

    def remove(self) -> None:
        self.free()
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.remove()


@pytest.fixture(scope="module")
def separator():
    return Separator("paper", "cpu", threads=1)  # what takes the least time with short segments


@pytest.fixture
def songs(write_song, tmp_path):
    """Write three songs of some segments each; give their folder."""
    for index, name in enumerate(SONGS):
        write_song(f"songs/{name}", 0.5 + index / 10, channels=1)
    return tmp_path / "songs"


@pytest.fixture
def run(separator, songs):
    """Run a batch that goes on where it was; ``act`` when song 1 is begun, or all but written."""

    def run(output, *, kind="wav", act=None, at="begin"):
        outputs = OutputOptions(format=kind, filename=DEFAULT_TEMPLATE)
        options = SeparateOptions(
            output,
            outputs,
            model="paper",
            device="cpu",
            threads=1,
            segment_seconds=0.2,
            skip_existing=True,
        )
        waiting = [act] if act is not None else []

        def hear(event):
            first = isinstance(event, SongProgress) and event.number == 0 and waiting
            if first and (at == "begin" or event.done_samples == event.total_samples):
                waiting.pop()()

        batch = Batch(options, hear)
        batch._separator = separator
        report = batch.run(find_songs([songs], output))
        assert not waiting
        assert all(song.error is None or "\n" not in song.error.message for song in report.songs)
        return report

    return run


@pytest.fixture
def check_resumed(run, tmp_path):
    """Resume; all must be done, with the bytes of an undisturbed run, and nothing else be there."""

    def check_resumed(output, kind="wav"):
        assert run(output, kind=kind).exit_code == 0
        run(tmp_path / "undisturbed", kind=kind)
        assert contents(output) == contents(tmp_path / "undisturbed")
        assert {path.suffix for path in (output / ".stemsplit").iterdir()} == {".json"}
        assert statuses(run(output, kind=kind)) == [SKIPPED] * 3

    return check_resumed


def contents(folder):
    """Give the bytes of every file but the records, whose times differ."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def statuses(report):
    return [song.status for song in report.songs]


@pytest.mark.parametrize(
    ("kind", "at"), [("wav", "begin"), ("flac", "end"), ("mp3", "end"), ("stem", "end")]
)
def test_a_disk_that_fills_up(disk, run, check_resumed, kind, at):
    """While samples wait to be encoded, or just before that."""
    output = disk.folder / "out"
    report = run(output, kind=kind, act=disk.fill, at=at)
    assert statuses(report) == [FAILED] * 3
    assert report.exit_code == 74
    for song in report.songs:
        assert ("free some space" in song.error.message) == (song.error.exit_code == 74)
    assert contents(disk.folder).keys() <= {Path("junk")}
    disk.free()
    check_resumed(output, kind)


def test_a_song_too_large_for_the_disk_stops_no_other(disk, songs, run, check_resumed, write_song):
    """Its header states no length, so that only writing it can tell."""
    output = disk.folder / "out"
    path = write_song("songs/2.flac", 8.0)
    (songs / "2.wav").unlink()
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO's 36 bits for the length
    data[22:26] = bytes(4)
    path.write_bytes(data)

    def shrink():
        if not disk.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))

    report = run(output, kind="flac", act=shrink)
    disk.free()
    assert statuses(report) == [DONE, FAILED, DONE]
    assert (report.songs[1].error.exit_code, report.exit_code) == (74, 3)
    assert {path.parts[0] for path in contents(output)} == {"1", "3"}
    path.unlink()
    write_song("songs/2.wav", 0.5)
    check_resumed(output, "flac")


@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_becomes_read_only(run, check_resumed, tmp_path, below):
    output = tmp_path / "out"
    locked = []

    def lock():
        folders = [output, *(path for path in output.rglob("*") if path.is_dir())]
        locked.extend(folders if below else folders[:1])
        for folder in locked:
            folder.chmod(0o555)

    with binding_permissions():
        report = run(output, act=lock)
        for folder in locked:
            folder.chmod(0o755)
    assert statuses(report) == [FAILED] * 3
    assert report.exit_code == 73
    assert all("Permission denied; choose another" in song.error.message for song in report.songs)
    assert not any(".stemsplit" not in path.parts for path in contents(output))
    check_resumed(output)


@pytest.mark.parametrize(
    ("kind", "at"), [("wav", "begin"), ("wav", "end"), ("flac", "end"), ("stem", "begin")]
)
def test_a_folder_that_disappears(run, check_resumed, tmp_path, kind, at):
    output = tmp_path / "out"
    report = run(output, kind=kind, act=lambda: shutil.rmtree(output), at=at)
    assert statuses(report) == [FAILED, DONE, DONE]  # it is made again for the others
    assert report.songs[0].error.exit_code == 73
    assert "No such file or directory; choose another" in report.songs[0].error.message
    check_resumed(output, kind)


def test_a_file_in_the_folder_s_place(run, tmp_path):
    output = tmp_path / "out"

    def replace():
        shutil.rmtree(output)
        output.write_text("mine")

    report = run(output, act=replace)
    assert [song.error.exit_code for song in report.songs] == [73] * 3
    assert output.read_text() == "mine"


@pytest.mark.parametrize("kind", ["wav", "flac", "stem"])
def test_a_disk_that_fails_to_sync(run, check_resumed, tmp_path, monkeypatch, kind):
    def fail(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        report = run(tmp_path / "out", kind=kind)
    assert [song.error.exit_code for song in report.songs] == [73] * 3
    assert "Input/output error" in report.songs[0].error.message
    assert not (tmp_path / "out").exists()
    check_resumed(tmp_path / "out", kind)
