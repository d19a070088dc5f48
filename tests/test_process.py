"""The manners of the command's process: --nice, and memory that goes back."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from conftest import SongWriter
from stemsplit.cli import process
from stemsplit.events import SongEnded, SongProgress

_SCRIPT = """
import os, sys, threading
from pathlib import Path
from stemsplit.cli.app import run
from stemsplit.pipeline import Synthesiser
seen = set()
work = Synthesiser.process
def process(self, segment):  # in the pipeline's own thread
    seen.update(os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in
                Path("/proc/self/task").iterdir())
    return work(self, segment)
Synthesiser.process = process
code = run(sys.argv[1:])
print(sorted(seen))
sys.exit(code)
"""


def priorities(song: Path, output: Path, *arguments: str, before: int = 0) -> list[int]:
    """Give the priorities of all threads in the middle of a separation."""
    if arguments[:1] == ("watch",):
        line = ["watch", str(song.parent), "--once", "--settle", "0", *arguments[1:]]
    else:
        line = [str(song), *arguments]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *line, "-o", str(output), "-d", "cpu", "-q", "--no-config"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.nice(before) and None,
        check=True,
    )
    return list(json.loads(done.stdout))


def test_every_thread_gives_way(write_song: SongWriter, tmp_path: Path) -> None:
    own = os.nice(0)
    song = write_song("songs/song.wav", seconds=1.0)
    nice = max(own, process.NICENESS)
    assert priorities(song, tmp_path / "a") == [own]
    assert priorities(song, tmp_path / "b", "--nice", "-j", "2") == [nice]
    assert priorities(song, tmp_path / "c", "watch", "--nice") == [nice]
    # One that gives way already does not do so any more, nor less.
    lower = 15 - own
    assert priorities(song, tmp_path / "d", "--nice", before=lower) == [15]


def test_a_refusal_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "nice", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    process.tune_process(nice=True)


def test_windows_is_asked_for_a_lower_priority_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for its kernel, as these tests never run on Windows."""
    kernel = MagicMock()
    kernel.GetCurrentProcess.return_value = -1
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    process.tune_process(nice=True)
    below_normal = 0x4000  # BELOW_NORMAL_PRIORITY_CLASS of processthreadsapi.h
    kernel.SetPriorityClass.assert_called_once_with(-1, below_normal)


def test_freed_memory_goes_back_within_long_songs_and_after_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(process, "_libc_function", lambda _name: trims.append)
    freed = process.FreedMemory()
    ten = 10 * 44_100
    for segment in range(1, 51):
        freed.after(SongProgress(1, segment * ten, None))
        freed.after(SongProgress(3, segment, None))  # another song meanwhile, a short one
    assert len(trims) == 5  # after every hundred seconds
    freed.after(SongEnded(1, MagicMock()))
    assert len(trims) == 6
    for segment in range(1, 10):  # the next song's, counted anew
        freed.after(SongProgress(1, segment * ten, None))
    assert len(trims) == 6
