"""The output folder while others use it: other runs, and people with files of their own."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stemsplit import store as store_module
from stemsplit.errors import OutputError, TakenError
from stemsplit.inputs import find_songs
from stemsplit.separate import Separator
from stemsplit.song import separate_file
from stemsplit.store import OutputStore
from stored_songs import STEMS, Killed, contents, everything_in, fill, manifest, written_before


@pytest.fixture(scope="module")
def separator(random_model: Path) -> Separator:
    return Separator(str(random_model), "cpu", threads=1)


def killed_before(store, rename_of, monkeypatch):
    """Commit a song, and be killed before a file gets its name; the folder stays as a kill does."""
    rename = Path.replace

    def replace(path, target):
        if Path(target).name == rename_of:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        patch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
        with pytest.raises(Killed), store.begin("song") as work:
            work.commit(fill(work), manifest())


@pytest.mark.parametrize("earlier", [False, True])
def test_what_was_put_in_a_stems_place_after_a_kill_stays(tmp_path, monkeypatch, earlier):
    """The next run finishes the renaming, but for the place somebody has used meanwhile."""
    store = written_before(tmp_path)[0] if earlier else OutputStore(tmp_path)
    killed_before(store, "drums.wav", monkeypatch)
    (tmp_path / "song/bass.wav").write_text("played by hand")
    OutputStore(tmp_path).recover()
    there = {f"{name}.wav": name for name in STEMS} | {"bass.wav": "played by hand"}
    assert contents(tmp_path) == there
    done = store.manifest("song")
    assert done is not None
    assert not done.complete(tmp_path)
    assert not done.holds("song/bass.wav", tmp_path)


def test_what_took_a_renamed_stems_place_is_not_taken_back(tmp_path, monkeypatch):
    """Where the rest cannot be renamed, each file goes back that is as it was written."""
    store, earlier = written_before(tmp_path)
    killed_before(store, "drums.wav", monkeypatch)
    (tmp_path / "song/vocals.wav").write_text("sung by hand")
    rename = Path.replace

    def replace(path, target):
        if Path(target).name == "bass.wav" and path.suffix == ".tmp":
            raise PermissionError("in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    OutputStore(tmp_path).recover()
    assert contents(tmp_path) == earlier | {"vocals.wav": "sung by hand"}


def prepared(root, place, name="pay"):
    """Make what a folder from anywhere may hold: a song that a kill kept from being renamed."""
    part = root / ".stemsplit" / "0123456789abcdef.part"
    part.mkdir(parents=True)
    (part / "pay").write_text("not asked for")
    staged = dataclasses.replace(manifest(), track="x", moves={name: place}, owned=(place,))
    (part / "manifest.json").write_text(staged.to_json())


@pytest.mark.parametrize(
    "place", ["../mine", "a/../../mine", "{outside}/mine", ".stemsplit/x", "C:/mine", "a\\mine", ""]
)
def test_a_folder_from_anywhere_writes_nowhere_else(tmp_path, place):
    root, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    prepared(root, place.format(outside=outside))
    OutputStore(root).recover()
    assert everything_in(outside) == everything_in(root) == []
    assert not (tmp_path / "mine").exists()


def test_nor_does_it_by_a_link_or_take_from_elsewhere(tmp_path):
    root, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("theirs")
    prepared(root, "song/mine")
    (root / "song").symlink_to(outside)
    OutputStore(root).recover()
    prepared(root, "taken", name="../../../outside/theirs")
    OutputStore(root).recover()
    assert everything_in(outside) == ["theirs"]
    assert not (root / "taken").exists()


def test_a_run_at_work_is_let_alone_where_there_are_no_locks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    store = OutputStore(tmp_path)
    with store.begin("song") as work:
        (work.folder / "0.wav").write_text("growing")
        OutputStore(tmp_path).recover()
        assert (work.folder / "0.wav").exists()
        long_ago = time.time() - 7 * 3600
        for path in (work.folder / "0.wav", work.folder):
            os.utime(path, (long_ago, long_ago))
        OutputStore(tmp_path).recover()
        assert not work.folder.exists()


def test_folders_that_only_look_like_ours_stay(tmp_path):
    mine = tmp_path / ".stemsplit/my song.part"
    mine.mkdir(parents=True)
    (mine / "vocals.wav").write_text("mine")
    OutputStore(tmp_path).recover()
    assert (mine / "vocals.wav").read_text() == "mine"


@pytest.mark.parametrize("moved", range(1, len(STEMS)))
def test_two_interrupts_between_renames_leave_the_rest_to_the_next_run(
    tmp_path, moved, monkeypatch
):
    store, _earlier = written_before(tmp_path)
    rename, left = Path.replace, iter([False] * moved + [True, True])

    def replace(path, target):
        if path.suffix == ".tmp" and next(left, False):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt), store.begin("song") as work:
            work.commit(fill(work), manifest())
    assert contents(tmp_path) != {f"{name}.wav": name for name in STEMS}
    store.recover()  # the same run may go on, as `watch` does
    assert contents(tmp_path) == {f"{name}.wav": name for name in STEMS}
    assert store.manifest("song").complete(tmp_path)
    assert not list(store.state.glob("*.part"))


def test_a_folder_loses_its_manifest_before_its_files(tmp_path, monkeypatch):
    """A kill in between would leave a record of files that are nowhere."""
    (tmp_path / "song/bass.wav").mkdir(parents=True)
    left = set()

    def remove(folder, **_options):
        left.update(path.name for path in folder.iterdir())

    monkeypatch.setattr(shutil, "rmtree", remove)
    with pytest.raises(OutputError), OutputStore(tmp_path).begin("song") as work:
        work.commit(fill(work), manifest())
    assert left == {f"{name}.tmp" for name in STEMS}


@pytest.mark.parametrize("asked", ["acquire", "mkdir"])
def test_a_run_that_tidies_up_meanwhile_is_no_error(tmp_path, monkeypatch, asked):
    """It removes the folder it no longer needs between two steps of ours."""
    times = iter([True, True])
    original = store_module.FolderLock.acquire if asked == "acquire" else Path.mkdir

    def interfered(subject, *arguments, **options):
        wanted = asked == "acquire" or subject.suffix == ".part"
        if wanted and next(times, False):
            (tmp_path / "out/.stemsplit").rmdir()
        return original(subject, *arguments, **options)

    owner = store_module.FolderLock if asked == "acquire" else Path
    monkeypatch.setattr(owner, asked, interfered)
    with OutputStore(tmp_path / "out").begin("song") as work:
        work.commit(fill(work), manifest())
    assert next(times, None) is None
    assert contents(tmp_path / "out") == {f"{name}.wav": name for name in STEMS}


def test_a_run_that_ends_while_it_is_looked_at_is_no_error(tmp_path, monkeypatch):
    store = OutputStore(tmp_path)
    with store.begin("song") as work:
        gone = SimpleNamespace(folder=work.folder)
    (gone.folder).mkdir(parents=True)
    acquire = store_module.FolderLock.acquire

    def interfered(lock):
        if list(tmp_path.rglob("*.part")) and not lock._wait:
            gone.folder.rmdir()
        acquire(lock)

    monkeypatch.setattr(store_module.FolderLock, "acquire", interfered)
    store.recover()
    assert everything_in(tmp_path) == []


def test_stems_that_a_killed_run_has_renamed_are_no_songs(tmp_path, monkeypatch):
    store = OutputStore(tmp_path)
    killed_before(store, "bass.wav", monkeypatch)
    (tmp_path / "song.wav").write_text("the song")
    assert contents(tmp_path).keys() == {"vocals.wav", "drums.wav"}
    assert [song.path.name for song in find_songs([tmp_path], tmp_path)] == ["song.wav"]


def test_a_file_that_appears_during_the_work_is_not_replaced(separator, write_song, tmp_path):
    """Nor is a stem of before that somebody edits meanwhile."""
    song, out = write_song(seconds=1), tmp_path / "out"
    separate_file(song, out, separator=separator)
    os.utime(song)
    mine = out / "vocals.wav"

    def edit(_progress):
        mine.write_bytes(b"edited")

    with pytest.raises(TakenError, match=r"vocals\.wav is there already: got a stem that was ch"):
        separate_file(song, out, separator=separator, soft=True, on_progress=edit)
    assert mine.read_bytes() == b"edited"
    assert not list((out / ".stemsplit").glob("*.part"))


def test_of_two_songs_for_one_place_the_later_is_refused(separator, write_song, tmp_path):
    """They are separated side by side, so neither sees the other's stems when it begins."""
    one, two, out = write_song("one.wav", 1), write_song("two.wav", 1), tmp_path / "out"
    separated = []

    def meanwhile(_progress):
        if not separated:
            separated.append(separate_file(two, out, separator=separator))

    with pytest.raises(TakenError, match=r"is there already: got a file stemsplit did not make"):
        separate_file(one, out, separator=separator, on_progress=meanwhile)
    store = OutputStore(out)
    assert store.manifest("two").complete(out)
    assert store.manifest("one") is None
