"""The output folder: sets appear whole, and what a kill leaves is finished or removed."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stemsplit import store as store_module
from stemsplit.errors import NoSpaceError, OutputError
from stemsplit.store import OutputStore
from stored_songs import STEMS, Killed, contents, everything_in, fill, manifest, written_before


def visible_in(folder):
    return [name for name in everything_in(folder) if not name.startswith(".stemsplit")]


def test_a_set_appears_together_with_its_manifest(tmp_path):
    store = OutputStore(tmp_path / "new" / "out")
    with store.begin("song") as work:
        targets = fill(work)
        assert visible_in(store.root) == []
        assert store.manifest("song") is None
        work.commit(targets, manifest())
    assert visible_in(store.root) == ["song", *(f"song/{name}.wav" for name in sorted(STEMS))]
    kept = store.manifest("song")
    assert kept is not None
    assert kept.complete(store.root)
    assert kept.matches({"clip": "scale"})
    assert not kept.matches({"clip": "keep"})
    assert [path.suffix for path in store.state.iterdir()] == [".json"]
    assert [each.track for each in store.manifests()] == ["song"]
    (store.root / "song/bass.wav").write_text("shorter?")
    assert not kept.complete(store.root)
    (store.root / "song/bass.wav").unlink()
    assert not kept.complete(store.root)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_after_an_error(tmp_path, error):
    def fail():
        with OutputStore(tmp_path / "new" / "out").begin("song") as work:
            fill(work)
            raise error

    with pytest.raises(error):
        fail()
    assert everything_in(tmp_path) == []


def test_an_interrupt_while_it_is_begun_leaves_nothing(tmp_path, monkeypatch):
    """Wherever it comes: while the folder is locked, or before `with` has it."""
    acquire = store_module.FolderLock.acquire

    def interrupted(lock):
        acquire(lock)
        if list(tmp_path.rglob("*.part")):
            raise KeyboardInterrupt

    store = OutputStore(tmp_path / "new" / "out")
    with monkeypatch.context() as patch:
        patch.setattr(store_module.FolderLock, "acquire", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.begin("song")
    gc.collect()
    assert everything_in(tmp_path) == []
    work = store.begin("song")
    assert list(tmp_path.rglob("*.part"))
    del work
    assert everything_in(tmp_path) == []


def test_an_interrupt_as_soon_as_it_is_begun_leaves_nothing(tmp_path, monkeypatch):
    """Between two instructions of `begin`, which then ends the song in its own thread."""
    begun = []

    class Begun(store_module.Work):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            begun.append(True)

    def interrupts(frame, event, _):
        frame.f_trace_opcodes = frame.f_code.co_name == "_begin"
        if event == "opcode" and begun:
            raise KeyboardInterrupt
        return interrupts

    def begin():
        sys.settrace(interrupts)
        try:
            store.begin("song")
        except KeyboardInterrupt:
            begun.append("interrupted")
        finally:
            sys.settrace(None)

    store = OutputStore(tmp_path / "new" / "out")
    monkeypatch.setattr(store_module, "Work", Begun)
    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()  # it waits for nobody
    assert begun == [True, "interrupted"]
    assert everything_in(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "song").mkdir()
    (tmp_path / "song/vocals.wav").write_text("older")
    with OutputStore(tmp_path).begin("song") as work:
        fill(work)
    assert everything_in(tmp_path) == ["song", "song/vocals.wav"]


@pytest.mark.parametrize("moved", range(len(STEMS) + 1))
def test_a_kill_while_renaming_is_made_good(tmp_path, moved, monkeypatch):
    """Stop after so many renames, as kill -9 would, and let the next run go on."""
    store = OutputStore(tmp_path / "out")
    steps = iter(range(moved))
    rename = Path.replace

    def replace(path, target):
        if path.suffix == ".tmp" or path.name == "manifest.json":
            try:
                next(steps)
            except StopIteration:
                raise Killed from None
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
    with pytest.raises(Killed), store.begin("song") as work:
        work.commit(fill(work), manifest())
    monkeypatch.undo()
    assert store.manifest("song") is None
    OutputStore(tmp_path / "out").recover()
    done = store.manifest("song")
    assert done is not None
    assert done.complete(store.root)
    assert not list(store.state.glob("*.part"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("moved", range(len(STEMS) + 1))
def test_an_interrupt_between_renames_leaves_the_whole_set(tmp_path, moved, error, monkeypatch):
    store = OutputStore(tmp_path / "out")
    (store.root / "song").mkdir(parents=True)
    (store.root / "song/vocals.wav").write_text("of an earlier run")
    rename, steps = Path.replace, iter([False] * moved + [True])

    def replace(path, target):
        moves = path.suffix == ".tmp" or path.name == "manifest.json"
        if moves and next(steps, False):
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(error), store.begin("song") as work:
        work.commit(fill(work), manifest())
    assert next(steps, None) is None
    for name in STEMS:
        assert (store.root / f"song/{name}.wav").read_text() == name
    done = store.manifest("song")
    assert done is not None
    assert done.complete(store.root)
    assert not list(store.state.glob("*.part"))


def test_a_kill_before_that_leaves_nothing_after_the_next_run(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from stemsplit.store import OutputStore\n"
        "work = OutputStore(Path(sys.argv[1])).begin('song')\n"
        "(work.folder / 'half.wav').write_text('half')\n"
        "os.kill(os.getpid(), 9)"
    )
    root = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", script, str(root)], check=False).returncode == -9
    assert list(root.rglob("half.wav"))
    OutputStore(root).recover()
    assert everything_in(root) == []


def test_what_another_process_works_on_is_let_alone(tmp_path):
    script = (
        "import sys; from pathlib import Path; from stemsplit.store import OutputStore\n"
        "with OutputStore(Path(sys.argv[1])).begin('song') as work:\n"
        "    (work.folder / 'half.wav').write_text('half')\n"
        "    print('begun', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "begun\n"
        OutputStore(tmp_path).recover()
        assert len(list(tmp_path.rglob("half.wav"))) == 1
        with pytest.raises(OutputError, match="another stemsplit is working on Song"):
            OutputStore(tmp_path).begin("Song")
        other.communicate("")
    assert other.returncode == 0
    with OutputStore(tmp_path).begin("Song"):
        assert not list(tmp_path.rglob("half.wav"))


def test_what_another_thread_works_on_is_let_alone(tmp_path):
    with OutputStore(tmp_path).begin("song") as work:
        fill(work)
        OutputStore(tmp_path).recover()
        assert len(list(work.folder.iterdir())) == len(STEMS)
        with pytest.raises(OutputError, match="another stemsplit is working on Song"):
            OutputStore(tmp_path).begin("Song")
        with OutputStore(tmp_path).begin("other") as other:
            other.commit(fill(other), manifest("other"))
    assert "other/bass.wav" in everything_in(tmp_path)


def test_a_set_that_cannot_be_completed_is_taken_back(tmp_path):
    (tmp_path / "out/song/bass.wav").mkdir(parents=True)
    store = OutputStore(tmp_path / "out")
    with pytest.raises(OutputError, match="Is a directory"), store.begin("song") as work:
        work.commit(fill(work), manifest())
    assert everything_in(tmp_path / "out") == ["song", "song/bass.wav"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("refused", [*(f"{name}.wav" for name in STEMS), "manifest"])
def test_a_set_that_cannot_be_completed_leaves_the_earlier_one(
    tmp_path, monkeypatch, refused, links
):
    """One stem is open in a program, say, on a system where it cannot be replaced then."""
    store, earlier = written_before(tmp_path / "out")
    rename = Path.replace

    def replace(path, target):
        if path.suffix == ".tmp" and target.name == refused:
            raise PermissionError(errno.EACCES, "in use")
        if path.name == "manifest.json" and refused == "manifest":
            raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    def no_link(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "replace", replace)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(OutputError, match="in use"), store.begin("song") as work:
        work.commit(fill(work), manifest())
    monkeypatch.undo()
    assert contents(store.root) == earlier
    assert store.manifest("song").complete(store.root)
    assert not list(store.state.glob("*.part"))


def test_an_earlier_stem_goes_back_though_the_new_one_is_gone(tmp_path, monkeypatch):
    store, earlier = written_before(tmp_path / "out")
    rename = Path.replace

    def replace(path, target):
        if target.name == "drums.wav" and path.suffix == ".tmp":
            (store.root / "song/vocals.wav").unlink()  # which has just come there
            raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="in use"), store.begin("song") as work:
        work.commit(fill(work), manifest())
    assert contents(store.root) == earlier


def test_an_earlier_stem_is_kept_until_it_can_be_put_back(tmp_path, monkeypatch):
    """One stem is in use, and then the one that was replaced before it as well."""
    store, earlier = written_before(tmp_path / "out")
    rename = Path.replace

    def replace(path, target):
        if target.name == "drums.wav" or path.name == "vocals.wav":
            raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="in use"), store.begin("song") as work:
        work.commit(fill(work), manifest())
    assert [path.read_text() for path in store.state.rglob("vocals*.earlier")] == ["VOCALS"]
    monkeypatch.undo()
    OutputStore(store.root).recover()
    assert contents(store.root) == {f"{name}.wav": name for name in STEMS}
    assert contents(store.root) != earlier


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("renames", range(11))
def test_a_kill_while_it_is_taken_back_leaves_one_whole_set(tmp_path, monkeypatch, renames, links):
    store, earlier = written_before(tmp_path / "out")
    steps = iter(range(renames))
    rename = Path.replace

    def replace(path, target):
        if store.root in path.parents and path.suffix != ".new":
            if next(steps, None) is None:
                raise Killed
            if target.name == "bass.wav" and path.suffix == ".tmp":
                raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    def no_link(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises((Killed, OutputError)), store.begin("song") as work:
        work.commit(fill(work), manifest())
    monkeypatch.undo()
    OutputStore(store.root).recover()
    later = {f"{name}.wav": name for name in STEMS}
    assert contents(store.root) in (earlier, later)
    assert not list(store.state.glob("*.part"))


def test_a_target_that_disappears(tmp_path):
    store = OutputStore(tmp_path / "out")
    with store.begin("song") as work:
        targets = fill(work)
        shutil.rmtree(tmp_path / "out")
        with pytest.raises(OutputError, match="No such file"):
            work.commit(targets, manifest())
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_is_no_folder(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*: got Not a directory; choose another"):
        OutputStore(tmp_path / place).begin("song")
    assert everything_in(tmp_path) == ["file"]


def test_a_place_nobody_may_write_to():
    with pytest.raises(OutputError, match=r"cannot write .*; choose another --output"):
        OutputStore(Path("/proc/stemsplit/out")).begin("song")  # read-only to root as well


def test_a_folder_that_becomes_read_only(tmp_path, monkeypatch):
    """Renaming fails in the middle, as root is stopped by no permissions."""
    store = OutputStore(tmp_path / "out")
    rename = Path.replace

    def replace(path, target):
        if Path(target).name == "bass.wav":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="Read-only file system"), store.begin("song") as work:
        work.commit(fill(work), manifest())
    assert everything_in(tmp_path) == []


def test_a_folder_someone_else_uses_meanwhile_stays(tmp_path):
    with OutputStore(tmp_path / "new" / "out").begin("song"):
        (tmp_path / "new" / "note.txt").write_text("mine")
    assert everything_in(tmp_path) == ["new", "new/note.txt"]


def test_an_unreadable_manifest_is_none(tmp_path):
    store = OutputStore(tmp_path)
    with store.begin("song") as work:
        work.commit(fill(work), manifest())
    (path,) = store.state.glob("*.json")
    for content in ("", "{}", "[]", '{"schema": 99}', "\0", path.read_text()[:-9]):
        path.write_text(content)
        assert store.manifest("song") is None


def test_too_little_space_is_found_out_first(tmp_path):
    store = OutputStore(tmp_path / "not" / "there")
    store.check_space(1)
    with pytest.raises(NoSpaceError, match=r"not enough space .* MB free, wanted about 1000\d+ MB"):
        store.check_space(10**18)
    assert everything_in(tmp_path) == []


def test_names_that_are_no_text_are_kept(tmp_path):
    track = os.fsdecode(b"caf\xe9")
    store = OutputStore(tmp_path)
    with store.begin(track) as work:
        work.commit(fill(work), manifest(track))
    done = store.manifest(track)
    assert done is not None
    assert (done.track, done.complete(tmp_path)) == (track, True)
