"""An output folder whose files appear whole, and what it knows of itself.

A hidden folder, ``.stemsplit``, lies in it. There, a song's files grow in a folder of their own,
``ID.part``, which its process holds locked. When all are complete and on the disk, a manifest
that lists them is written beside them; from then on the song is done, and what is left is to
rename: the files to their places, and last the manifest to ``.stemsplit/ID.json``. Files that were
in those places stay in the folder until then, and go back where a rename fails. A run that is
killed before leaves a folder that the next one removes; one that is killed while it renames leaves
the rest of the renaming to the next one, which leaves alone what others have put there meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType

from stemsplit.errors import NoSpaceError, OutputError, output_error
from stemsplit.files import existing, folders_between, remove_empty, sync_folder
from stemsplit.locks import FolderLock
from stemsplit.manifest import Manifest, read_manifest
from stemsplit.moves import is_changed, keep, kept, moved
from stemsplit.outputs import STATE_FOLDER

_KEY = 16 * "[0-9a-f]"  # what names a song, as a pattern: other folders are none of ours
_PART = ".part"
_STAGED = "manifest.json"
_LONGEST_REST_SECONDS = 6 * 3600
_TRIES = 20  # to begin a song, while other runs remove the folders they no longer need


class OutputStore:
    """The output folder ``root``; it is made when a song is first begun."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / STATE_FOLDER
        self._made: list[Path] = []
        self._needed: set[Path] = set()
        # An interrupt in `begin` may end its song there, in the same thread.
        self._guard = threading.RLock()

    def manifest(self, track: str) -> Manifest | None:
        """Give the record of a song, by the name it has here; None if it is not done."""
        return read_manifest(self._manifest_path(track))

    def manifests(self) -> Iterator[Manifest]:
        """Give the record of every song done, those done last at the end."""
        for path in sorted(self.state.glob("*.json"), key=_time):
            manifest = read_manifest(path)
            if manifest is not None:
                yield manifest

    def made(self) -> Iterator[str]:
        """Give the path below the root of every file that a run made, or has yet to rename."""
        for manifest in self.manifests():
            yield from manifest.owned
        for path in self.state.glob(f"{_KEY}{_PART}/{_STAGED}"):
            staged = read_manifest(path)
            if staged is not None:
                yield from staged.moves.values()

    def recover(self) -> None:
        """Finish or remove what killed runs left; what a running one works on is let alone.

        Raises
        ------
        OutputError
            The folder may not be looked into, or has a name that no folder can have.
        """
        try:
            if not self.state.is_dir():
                return
            with FolderLock(self.state):
                for folder in self.state.glob(f"{_KEY}{_PART}"):
                    with (
                        contextlib.suppress(FileNotFoundError),  # its run has just ended
                        FolderLock(folder, wait=False) as lock,
                    ):
                        if lock.held and (lock.sure or _is_old(folder)):
                            self._recover(folder)
        except FileNotFoundError:  # nothing is left there, another run found
            pass
        except OSError as error:
            raise output_error(self.root, error) from error
        self.tidy()

    def begin(self, track: str) -> Work:
        """Begin a song: a folder to write its files into.

        Raises
        ------
        OutputError
            The folder cannot be made, or another process works on the same song.
        """
        try:
            with self._guard:
                for tries_left in reversed(range(_TRIES)):
                    try:
                        self._make_folders()
                        return self._begin(track)
                    except FileNotFoundError:  # another run has tidied up between two steps
                        if not tries_left:
                            raise
                raise AssertionError("the last try returns or raises")
        except OSError as error:
            self.tidy()
            raise output_error(self.root, error) from error
        except BaseException:  # an interrupt too
            self.tidy()
            raise

    def _begin(self, track: str) -> Work:
        folder = self.state / f"{_key(track)}{_PART}"
        with FolderLock(self.state):
            if folder.is_dir():
                with FolderLock(folder, wait=False) as lock:
                    if not lock.held:
                        raise OutputError(
                            f"another stemsplit is working on {track}", got=f"output {self.root}"
                        )
                    self._recover(folder)
            try:
                folder.mkdir()
                return Work(self, track, folder)
            except FileExistsError:  # another run's, where there are no locks
                raise
            except BaseException:
                self.discard(folder)
                raise

    def tidy(self) -> None:
        """Remove the folders that were made for songs of which none was done."""
        with self._guard, contextlib.suppress(OSError):
            self.state.rmdir()
            while self._made:
                self._made[-1].rmdir()
                self._made.pop()

    def check_space(self, needed: int) -> None:
        """Raise `NoSpaceError` where so many bytes are more than the disk has left."""
        try:
            free = shutil.disk_usage(existing(self.root)).free
        except OSError:  # some network drives do not tell
            return
        if needed > free:
            raise NoSpaceError(
                f"not enough space for the stems in {self.root}",
                got=f"{free / 1e6:.0f} MB free",
                wanted=f"about {needed / 1e6:.0f} MB",
                remedy="free some space or choose another --output",
            )

    def check_target(self, target: Path) -> None:
        """See that a file can be moved to its place when its song is done; raises `OutputError`."""
        try:
            if target.is_dir():
                raise OutputError(f"cannot write {target}", got="a folder of that name")
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                target.stat()  # fails for a name that is too long
            place = existing(target.parent)
            if not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if place.stat().st_dev != existing(self.state).stat().st_dev:
                raise OSError(errno.EXDEV, f"another disk than that of {self.root}")
        except OSError as error:
            raise output_error(target, error) from error

    def publish(self, folder: Path, *, late: bool = False) -> None:
        """Move a finished song's files to their places, then its manifest; all or none.

        What is ``late``, as it waited for another run, leaves alone what others put there since.

        Raises
        ------
        OSError
            A place cannot be written to.
        """
        manifest = read_manifest(folder / _STAGED)
        if manifest is None:
            return
        record = self._manifest_path(manifest.track)
        previous = read_manifest(record) if late else None
        targets = {
            folder / name: self.root / place
            for name, place in manifest.moves.items()
            if not late or not self._is_foreign(folder / name, place, previous)
        }
        self._needed.add(folder)  # until all is in its place, or as it was
        try:
            for path, target in targets.items():
                if path.exists():  # else it is moved already, before a kill
                    target.parent.mkdir(parents=True, exist_ok=True)
                    keep(target, kept(path))
                    path.replace(target)
            for place in {target.parent for target in targets.values()}:
                sync_folder(place)
            (folder / _STAGED).replace(record)
            sync_folder(self.state)
        except OSError:
            if self._take_back(targets, manifest):
                self._needed.discard(folder)
            raise
        self._needed.discard(folder)

    def _is_foreign(self, path: Path, place: str, previous: Manifest | None) -> bool:
        """Tell whether the place of a file that was not moved yet is none of ours.

        It has a file that no run made, or a link leads to it out of the folder.
        """
        if not path.exists():
            return False
        inside = Path(os.path.realpath(self.root))
        if not Path(os.path.realpath((self.root / place).parent)).is_relative_to(inside):
            return True
        if not os.path.lexists(self.root / place):
            return False
        return previous is None or not previous.holds(place, self.root)

    def _take_back(self, targets: Mapping[Path, Path], manifest: Manifest) -> bool:
        """Undo the moves of a set that cannot be completed: what was there before is there again.

        A file that is not as it was written is not ours any more, and stays. Should this be cut
        short, or be impossible for now, the next `publish` finds each file where a kill might have
        left it. Tells whether all is as it was.
        """
        undone = True
        for path, target in targets.items():
            if not path.exists() and is_changed(
                target, manifest.sizes.get(manifest.moves[path.name])
            ):
                continue
            back = path.exists() or moved(target, path)
            if back and os.path.lexists(kept(path)):
                back = moved(kept(path), target)
            undone &= back
            remove_empty(folders_between(self.root, target.parent))
        return undone

    def _recover(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # a place that is gone: then the song is not done
            self.publish(folder, late=True)
        self.discard(folder)

    def discard(self, folder: Path) -> None:
        """Remove a song's folder, unless the only copy of an earlier stem is in it."""
        if folder not in self._needed:
            with contextlib.suppress(OSError):
                # First, as without its files it would say that they are in their places.
                (folder / _STAGED).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _manifest_path(self, track: str) -> Path:
        return self.state / f"{_key(track)}.json"

    def _make_folders(self) -> None:
        missing = folders_between(self.root.anchor or Path(), self.root)
        for folder in missing:
            if not folder.exists():
                with contextlib.suppress(FileExistsError):  # another run's
                    folder.mkdir()
                    self._made.append(folder)
        self.state.mkdir(exist_ok=True)


class Work:
    """A song being written: a context manager that leaves all of it or nothing.

    Attributes
    ----------
    folder:
        Empty at first, for the files; locked for other processes.
    """

    _ended = True  # until it has begun

    def __init__(self, store: OutputStore, track: str, folder: Path) -> None:
        self.store = store
        self.track = track
        self.folder = folder
        self._lock = FolderLock(folder)
        self._lock.acquire()
        self._ended = False

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self.store.discard(self.folder)
        self._lock.release()
        self.store.tidy()

    def __del__(self) -> None:
        """End what an interrupt kept from being entered."""
        if not self._ended:
            self.__exit__(None, None, None)

    def commit(
        self,
        targets: Mapping[Path, PurePosixPath],
        manifest: Manifest,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Put complete files in their places, and the manifest last.

        Parameters
        ----------
        targets:
            Where each file of `folder` goes, below the root.
        manifest:
            The song's record.
        check:
            Raises what refuses the places, a last time; no other run changes any meanwhile.

        Raises
        ------
        OutputError
            A place cannot be written to. Files that got there are taken away again, and what they
            replaced is put back.
        """
        moves = {path.name: target.as_posix() for path, target in targets.items()}
        staged = replace(manifest, moves=moves).to_json()
        try:
            with FolderLock(self.store.state):
                check()
                self._publish(staged)
        except OSError as error:
            raise output_error(self.store.root, error) from error

    def _publish(self, staged: str) -> None:
        """Write the manifest, from when on the song is done, and rename."""
        temporary = self.folder / f"{_STAGED}.new"
        with temporary.open("w", encoding="ascii") as file:
            file.write(staged)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / _STAGED)
        sync_folder(self.folder)
        try:
            self.store.publish(self.folder)
        except (KeyboardInterrupt, SystemExit):  # between two renames; the rest takes no time
            self.store.publish(self.folder)  # and is left to the next run at another one
            raise


def _key(track: str) -> str:
    """Give a short name for a song's name; to many file systems Song and song are one."""
    folded = unicodedata.normalize("NFC", track).casefold()
    return hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()[:16]


def _is_old(folder: Path) -> bool:
    """Tell whether nothing in a folder has changed for hours, so that no run can be at work there.

    Raises
    ------
    FileNotFoundError
        It is gone.
    """
    last = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - last > _LONGEST_REST_SECONDS


def _time(path: Path) -> tuple[int, str]:
    """Give when a file was changed, in ns, and its name; 0 where it is gone."""
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name
