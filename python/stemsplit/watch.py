"""Which songs of a folder are ready: new or changed, and not being written any more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stemsplit.errors import InputError, MissingExtraError, NoSongsError
from stemsplit.files import is_folder, is_gone

if TYPE_CHECKING:
    from stemsplit.inputs import Song

_RESCAN_SECONDS = 30.0
_TICK_SECONDS = 0.5


class Seen(NamedTuple):
    """A file's identity: inode, bytes, time of change in ns. Another means other content."""

    inode: int
    size: int
    mtime_ns: int


class FolderWatch:
    """Says which songs below a folder are ready, each once for as long as it does not change.

    A song is ready when its size and time of change have stayed as they are for some seconds by
    a clock that nobody sets; an empty file is not. What is hidden, in the output folder, or made
    by an earlier run is no song.

    Parameters
    ----------
    folder, output:
        What is watched, and where stems go; one may be the other or lie in it.
    settle:
        Seconds without a change after which a file is taken to be complete.
    clock:
        Seconds that only ever go on.

    Attributes
    ----------
    waiting:
        How many songs are not ready yet.
    present:
        Whether the folder was there at the last look.
    problems:
        What could not be looked at then, the folder itself or some in it.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        *,
        settle: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._output = output
        self._settle = settle
        self._clock = clock
        self._since: dict[Path, tuple[Seen, float]] = {}
        self._given: dict[Path, Seen] = {}
        self.waiting = 0
        self.present = True
        self.problems: list[InputError] = []

    def ready(self) -> list[Song]:
        """Look at the folder; give the songs that have become ready since the last look."""
        from stemsplit.inputs import find_songs

        songs = find_songs([self.folder], self._output)
        # The folder itself is given where it cannot be looked into.
        found = [song for song in songs if not song.problem and song.path != self.folder]
        problems = [song.problem for song in songs if song.problem is not None]
        self.problems = [one for one in problems if not isinstance(one, NoSongsError)]
        self.present = is_folder(self.folder)
        if not self.present:  # a drive that is taken out may come back, with the same files
            self.waiting = 0
            self.problems = []
            return []
        seen = {song.path: (song, identity) for song in found if (identity := _seen(song.path))}
        # What is gone is forgotten, so that a folder that songs pass through costs no memory.
        known = {*self._since, *self._given}
        gone = {path for path in known if path not in seen and is_gone(path)}
        self._since = {path: since for path, since in self._since.items() if path not in gone}
        self._given = {path: given for path, given in self._given.items() if path not in gone}
        ready = [song for song, identity in seen.values() if self._is_ready(song.path, identity)]
        self.waiting = sum(path in seen for path in self._since)
        return ready

    def again(self, song: Song, seconds: float) -> None:
        """Give a song once more, in so many seconds or later, though it does not change."""
        identity = self._given.pop(song.path, None)
        if identity is not None:
            self._since[song.path] = (identity, self._clock() + seconds - self._settle)

    def _is_ready(self, path: Path, identity: Seen) -> bool:
        if not identity.size or self._given.get(path) == identity:
            self._since.pop(path, None)
            return False
        now = self._clock()
        known, since = self._since.get(path, (None, now))
        if known != identity:
            since = now
        self._since[path] = (identity, since)
        if now - since < self._settle:
            return False
        del self._since[path]
        self._given[path] = identity
        return True


def looks(watch: FolderWatch) -> Iterator[Sequence[Song]]:
    """Look at a folder for ever, when something happens in it; give what is ready, often nothing.

    Where the system tells of no changes, as on network drives, it is looked at twice a minute. A
    folder that is gone is waited for.

    Raises
    ------
    MissingExtraError
        watchfiles is not installed.
    InputError
        The system refuses to watch the folder.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise MissingExtraError.of("cannot watch a folder", "watchfiles", "watch") from error
    while True:
        yield watch.ready()
        if not watch.present:
            time.sleep(_TICK_SECONDS)
            continue
        looked = -math.inf  # once more when it is watched: what came in between made no event
        try:
            for changes in watchfiles.watch(
                watch.folder,
                watch_filter=None,
                debounce=400,
                rust_timeout=round(_TICK_SECONDS * 1000),
                yield_on_timeout=True,
                raise_interrupt=True,
                ignore_permission_denied=True,
            ):
                rescan = time.monotonic() - looked > _RESCAN_SECONDS
                if changes or watch.waiting or rescan or not is_folder(watch.folder):
                    yield watch.ready()
                    looked = time.monotonic()
                if not watch.present:
                    break
        except FileNotFoundError:  # gone between two looks
            continue
        except RuntimeError:  # watchfiles': the system's watch broke off; a new one may do
            time.sleep(_TICK_SECONDS)
        except OSError as error:
            raise InputError(
                f"cannot watch {watch.folder}",
                got=error.strerror or error,
                remedy="set WATCHFILES_FORCE_POLLING=1 if the system can watch no more folders",
            ) from error


def _seen(path: Path) -> Seen | None:
    try:
        status = path.stat()
    except OSError:  # gone since it was found, or not to be had for now
        return None
    return Seen(status.st_ino, status.st_size, status.st_mtime_ns)
