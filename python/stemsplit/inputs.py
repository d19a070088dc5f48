"""The songs that arguments mean, and the name each goes by in the output folder."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from stemsplit.audio import AUDIO_SUFFIXES
from stemsplit.errors import AudioError, InputError, NoSongsError, output_error
from stemsplit.files import absolute, is_folder
from stemsplit.manifest import Manifest, fingerprint
from stemsplit.outputs import STATE_FOLDER
from stemsplit.store import OutputStore

STDIN = "-"
_NAMES_TRIED = 6  # of those a song may have had: its own, three longer ones, some with digits


@dataclass(frozen=True)
class Song:
    """A song to separate.

    Attributes
    ----------
    path:
        Its file.
    track:
        The name it goes by: its file's without the ending, below the folder it was found in.
    shown:
        What messages and reports call it.
    problem:
        Why there is no song after all.
    """

    path: Path
    track: str
    shown: str
    problem: InputError | None = None


def find_songs(arguments: Sequence[Path], output: Path | None) -> list[Song]:
    """Find the songs that files, folders and patterns mean, in their order, each once.

    Folders are searched whole, in the order of names, for files with an ending of
    `AUDIO_SUFFIXES`; left out is what is hidden, what is in the output folder, and what earlier
    runs made. A pattern (``*``, ``?``, ``[...]``, ``**``) that no shell has expanded is expanded
    here. What means no song is given with its ``problem``.

    Parameters
    ----------
    arguments:
        Paths; ``-`` is not among them.
    output:
        The output folder.
    """
    songs: dict[str, Song] = {}
    for argument in arguments:
        try:
            meant = list(_meant(argument, output))
        except OSError:  # a name that is too long, say: reading it will tell
            meant = [Song(argument, song_name(argument), str(argument))]
        for song in meant:
            songs.setdefault(absolute(song.path), song)
    return list(songs.values())


def name_songs(songs: Sequence[Song], store: OutputStore) -> list[Song]:
    """Give each song a name of its own among them all, and among those the folder has already.

    A song keeps the name under which it was done before, from the same place or another where it
    is no longer. Where two songs of one name meet, the later gets its folder's name in brackets
    (its file's ending, where they are of one folder), or both, or a few digits that its path gives.
    """
    taken: dict[str, str] = {}
    named = []
    for song in songs:
        name = _own_name(song, store, taken) or _free_name(song, store, taken)
        taken[folded(name)] = absolute(song.path)
        named.append(replace(song, track=name))
    return named


def _own_name(song: Song, store: OutputStore, taken: Mapping[str, str]) -> str | None:
    """Give the name under which a song was done before from the same place."""
    if song.shown == STDIN:  # which has none, and would be read for its digits
        return None
    for candidate in islice(_candidates(song), _NAMES_TRIED):
        done = store.manifest(candidate)
        own = done is not None and done.input.path == absolute(song.path)
        if own and folded(candidate) not in taken:
            return candidate
    return None


def _free_name(song: Song, store: OutputStore, taken: Mapping[str, str]) -> str:
    """Give the first name that no other song has, or has had before it was moved here."""
    for candidate in _candidates(song, beside=_meets_one_beside(song, store, taken)):
        done = store.manifest(candidate)
        if folded(candidate) not in taken and (done is None or _was_moved(done, song)):
            return candidate
    raise AssertionError("a hash has as many digits as songs can need")


def _meets_one_beside(song: Song, store: OutputStore, taken: Mapping[str, str]) -> bool:
    """Tell whether the song that has this one's name lies in the same folder."""
    done = store.manifest(song.track)
    other = taken.get(folded(song.track)) or (done.input.path if done else None)
    return other is not None and Path(other).parent == Path(absolute(song.path)).parent


def _was_moved(done: Manifest, song: Song) -> bool:
    """Tell whether a record is of this song; what comes from stdin is known by its content."""
    gone = song.shown == STDIN or not os.path.lexists(done.input.path)
    return gone and done.input.unchanged(song.path)


def folded(name: str) -> str:
    """Give a name as file systems compare names that know no capitals, or one way to write é."""
    return unicodedata.normalize("NFC", name).casefold()


def song_name(path: Path) -> str:
    """Give a song's name: its file's, without the ending."""
    name = path.name
    for ending in (".stem.mp4", path.suffix):
        if ending and name.lower().endswith(ending.lower()):
            name = name[: -len(ending)]
            break
    return name if name.strip(".") else path.name.strip(".") or "song"


def folder_name(path: Path) -> str:
    """Give the name of the folder that a file is in, for a template."""
    return Path(absolute(path)).parent.name or "root"


def spool(stream: IO[bytes], folder: Path) -> Song:
    """Copy a stream into a file, as decoders seek.

    Raises
    ------
    OutputError
        There is no room for it.
    """
    path = folder / "stdin" / "stdin"  # its folder has a name that a template may ask for
    try:
        path.parent.mkdir()
        with path.open("xb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    except OSError as error:
        raise output_error(path, error, "set TMPDIR to another folder") from error
    if not path.stat().st_size:
        remedy = "see that what is piped in gives a song"
        problem = AudioError("no audio from stdin", got="nothing", wanted="a file", remedy=remedy)
        return Song(path, "stdin", STDIN, problem)
    return Song(path, "stdin", STDIN)


def _candidates(song: Song, *, beside: bool = True) -> Iterator[str]:
    yield song.track
    if song.shown == STDIN:
        digits = fingerprint(song.path).sha256
    else:
        yield from _longer_names(song, beside=beside)
        digits = hashlib.sha256(os.fsencode(absolute(song.path))).hexdigest()
    track = PurePosixPath(song.track)
    for length in range(8, len(digits)):
        yield str(track.with_name(f"{track.name} ({digits[:length]})"))


def _longer_names(song: Song, *, beside: bool) -> Iterator[str]:
    path = Path(absolute(song.path))
    track = PurePosixPath(song.track)
    folder = str(track.with_name(f"{track.name} ({path.parent.name})"))
    ending = str(track.with_name(f"{track.name} ({path.suffix.lower().removeprefix('.')})"))
    others = (path.with_suffix(suffix) for suffix in AUDIO_SUFFIXES if suffix != path.suffix)
    if beside and path.suffix and any(map(os.path.lexists, others)):
        yield ending
    yield folder
    yield str(track.with_name(f"{path.name} ({path.parent.name})"))


def _meant(argument: Path, output: Path | None) -> Iterator[Song]:
    if argument.is_dir():
        found = False
        unreadable: list[OSError] = []
        for path in _walk(argument, output, unreadable):
            found = True
            below = path.relative_to(argument)
            yield Song(path, (below.parent / song_name(below)).as_posix(), str(path))
        for error in unreadable:
            place = Path(error.filename)
            yield _without(place, InputError(f"cannot read {place}", got=error.strerror))
        if not found and not unreadable:
            yield _without(argument, NoSongsError(f"no songs in {argument}", wanted="audio files"))
    elif not os.path.lexists(argument) and glob.has_magic(str(argument)):
        # Path.glob takes no absolute patterns.
        matches = sorted(glob.glob(str(argument), recursive=True))  # noqa: PTH207
        for match in matches:
            yield from _meant(Path(match), output)
        if not matches:
            remedy = "check the pattern and the folder"
            yield _without(argument, InputError(f"nothing matches {argument}", remedy=remedy))
    else:
        yield Song(argument, song_name(argument), str(argument))


def _without(path: Path, problem: InputError) -> Song:
    return Song(path, song_name(path), str(path), problem)


def _walk(top: Path, output: Path | None, unreadable: list[OSError]) -> Iterator[Path]:
    """Give the audio files below a folder; a folder that links lead to twice is searched once.

    Folders that cannot be read are added to ``unreadable``, unless they are gone meanwhile.
    """

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unreadable.append(error)

    seen: set[tuple[int, int]] = set()
    own: set[str] = set()
    if output is not None and not _same(output, top):
        own.add(os.path.realpath(output))
        if Path(os.path.realpath(top)).is_relative_to(os.path.realpath(output)):
            own |= _made_in(output)  # it lies above, and may have put stems here
    for name, folders, files in os.walk(top, onerror=note, followlinks=True):
        folder = Path(name)
        try:
            status = folder.stat()
        except OSError:  # gone meanwhile
            continue
        if (status.st_dev, status.st_ino) in seen or os.path.realpath(folder) in own:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        own |= _made_in(folder)
        folders[:] = sorted(place for place in folders if not place.startswith("."))
        for file in sorted(files):
            path = folder / file
            ours = file.startswith(".") or os.path.realpath(path) in own
            if path.suffix.lower() in AUDIO_SUFFIXES and not ours and _may_be_a_file(path):
                yield path


def _may_be_a_file(path: Path) -> bool:
    try:
        return path.is_file() or not path.exists()  # reading tells that a link leads nowhere
    except OSError:  # reading it will tell
        return True


def _made_in(folder: Path) -> set[str]:
    """Give the files that earlier runs made with this as their output folder."""
    if not is_folder(folder / STATE_FOLDER):
        return set()
    return {os.path.realpath(folder / path) for path in OutputStore(folder).made()}


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
