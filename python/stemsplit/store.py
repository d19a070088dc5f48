"""An output folder whose files appear whole, and what it knows of itself.

A hidden folder, ``.stemsplit``, lies in it. There, a song's files grow in a folder of their own,
``ID.part``, which its process holds locked. When all are complete and on the disk, a manifest
that lists them is written beside them; from then on the song is done, and what is left is to
rename: the files to their places, and last the manifest to ``.stemsplit/ID.json``. Files that were
in those places stay in the folder until then, and go back where a rename fails. A run that is
killed before leaves a folder that the next one removes; one that is killed while it renames leaves
the rest of the renaming to the next one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType

from stemsplit.errors import NoSpaceError, OutputError, output_error
from stemsplit.files import sync_folder
from stemsplit.manifest import Manifest, read_manifest

STATE_FOLDER = ".stemsplit"
_PART = ".part"
_STAGED = "manifest.json"
_KEPT = ".earlier"


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
        """Give the record of every song done."""
        for path in sorted(self.state.glob("*.json")):
            manifest = read_manifest(path)
            if manifest is not None:
                yield manifest

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
            with _Lock(self.state):
                for folder in self.state.glob(f"*{_PART}"):
                    with _Lock(folder, wait=False) as lock:
                        if lock.held:
                            self._recover(folder)
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
                self._make_folders()
                return self._begin(track)
        except OSError as error:
            self.tidy()
            raise output_error(self.root, error) from error
        except BaseException:  # an interrupt too
            self.tidy()
            raise

    def _begin(self, track: str) -> Work:
        folder = self.state / f"{_key(track)}{_PART}"
        with _Lock(self.state):
            if folder.is_dir():
                with _Lock(folder, wait=False) as lock:
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
            free = shutil.disk_usage(_existing(self.root)).free
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
            target.exists()  # fails for a name that is too long
            place = _existing(target.parent)
            if not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if place.stat().st_dev != _existing(self.state).stat().st_dev:
                raise OSError(errno.EXDEV, f"another disk than that of {self.root}")
        except OSError as error:
            raise output_error(target, error) from error

    def publish(self, folder: Path) -> None:
        """Move a finished song's files to their places, then its manifest; all or none.

        Raises
        ------
        OSError
            A place cannot be written to.
        """
        manifest = read_manifest(folder / _STAGED)
        if manifest is None:
            return
        targets = {folder / name: self.root / target for name, target in manifest.moves.items()}
        try:
            for path, target in targets.items():
                if path.exists():  # else it is moved already, before a kill
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _keep(target, _kept(path))
                    path.replace(target)
            for place in {target.parent for target in targets.values()}:
                sync_folder(place)
            (folder / _STAGED).replace(self._manifest_path(manifest.track))
            sync_folder(self.state)
        except OSError:
            if not self._take_back(targets):
                self._needed.add(folder)
            raise

    def _take_back(self, targets: Mapping[Path, Path]) -> bool:
        """Undo the moves of a set that cannot be completed: what was there before is there again.

        Should this be cut short, or be impossible for now, the next `publish` finds each file where
        a kill might have left it. Tells whether all is as it was.
        """
        undone = True
        for path, target in targets.items():
            back = path.exists() or _moved(target, path)
            if back and os.path.lexists(_kept(path)):
                back = _moved(_kept(path), target)
            undone &= back
            _remove_folders(_between(self.root, target.parent))
        return undone

    def _recover(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # a place that is gone: then the song is not done
            self.publish(folder)
        self.discard(folder)

    def discard(self, folder: Path) -> None:
        """Remove a song's folder, unless the only copy of an earlier stem is in it."""
        if folder not in self._needed:
            shutil.rmtree(folder, ignore_errors=True)

    def _manifest_path(self, track: str) -> Path:
        return self.state / f"{_key(track)}.json"

    def _make_folders(self) -> None:
        missing = _between(self.root.anchor or Path(), self.root)
        for folder in missing:
            if not folder.exists():
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
        self._lock = _Lock(folder)
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

    def commit(self, targets: Mapping[Path, PurePosixPath], manifest: Manifest) -> None:
        """Put complete files in their places, and the manifest last.

        Parameters
        ----------
        targets:
            Where each file of `folder` goes, below the root.
        manifest:
            The song's record.

        Raises
        ------
        OutputError
            A place cannot be written to. Files that got there are taken away again, and what they
            replaced is put back.
        """
        moves = {path.name: target.as_posix() for path, target in targets.items()}
        try:
            temporary = self.folder / f"{_STAGED}.new"
            with temporary.open("w", encoding="ascii") as file:
                file.write(replace(manifest, moves=moves).to_json())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / _STAGED)
            sync_folder(self.folder)
            try:
                self.store.publish(self.folder)
            except (KeyboardInterrupt, SystemExit):  # between two renames; the rest takes no time
                self.store.publish(self.folder)
                raise
        except OSError as error:
            raise output_error(self.store.root, error) from error


class _Lock:
    """A lock on a folder that ends with the process; where the system has none, it is free."""

    def __init__(self, folder: Path, *, wait: bool = True) -> None:
        self._folder = folder
        self._wait = wait
        self._descriptor: int | None = None
        self.held = False

    def __enter__(self) -> _Lock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock; without ``wait``, ``held`` tells whether it could be had."""
        try:
            import fcntl
        except ImportError:
            self.held = True
            return
        self._descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
            self.held = True
        except BlockingIOError:
            self.held = False
        except OSError:  # a file system without locks
            self.held = True

    def release(self) -> None:
        """Let go of the lock; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _key(track: str) -> str:
    """Give a short name for a song's name; to many file systems Song and song are one."""
    folded = unicodedata.normalize("NFC", track).casefold()
    return hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()[:16]


def _kept(path: Path) -> Path:
    """Give where the file that a new one replaces stays until all are in their places."""
    return path.with_name(path.name + _KEPT)


def _keep(target: Path, kept: Path) -> None:
    """Keep the file that is about to be replaced, if any, under a second name."""
    if os.path.lexists(kept) or not os.path.lexists(target):
        return
    if target.is_dir() and not target.is_symlink():  # which no file can replace
        return
    try:
        os.link(target, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without links
        target.replace(kept)


def _moved(path: Path, place: Path) -> bool:
    """Move a file; tell whether it is there now, or there is nothing left to move, or no place."""
    try:
        path.replace(place)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _existing(path: Path) -> Path:
    """Give a path, or the first above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _between(top: Path | str, folder: Path) -> list[Path]:
    """Give a folder and those above it that lie below another, the uppermost first."""
    above = [place for place in (folder, *folder.parents) if place != Path(top)]
    return [place for place in reversed(above) if place.is_relative_to(top)]


def _remove_folders(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()
