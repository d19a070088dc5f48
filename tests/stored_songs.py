"""Songs of three small files in output folders, as the tests of these put them there."""

from __future__ import annotations

from pathlib import PurePosixPath

from stemsplit.manifest import Fingerprint, Manifest
from stemsplit.store import OutputStore

STEMS = ("vocals", "drums", "bass")


class Killed(BaseException):
    """Ends a run where it is, as no error does."""


def manifest(track="song", names=STEMS):
    outputs = {name: f"{track}/{name}.wav" for name in names}
    sizes = {path: len(name) for name, path in outputs.items()}
    input_file = Fingerprint("/song.wav", 1, 2, "00")
    return Manifest(track, input_file, {"clip": "scale"}, outputs, sizes, tuple(outputs.values()))


def fill(work, names=STEMS):
    """Write the files of a song; give their places."""
    targets = {}
    for name in names:
        (work.folder / f"{name}.tmp").write_text(name)
        targets[work.folder / f"{name}.tmp"] = PurePosixPath(f"{work.track}/{name}.wav")
    return targets


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def written_before(root):
    """Give a store whose song was done before, and what its files hold."""
    store = OutputStore(root)
    with store.begin("song") as work:
        targets = fill(work)
        for path in targets:
            path.write_text(path.stem.upper())
        work.commit(targets, manifest())
    return store, contents(root)


def contents(root):
    return {path.name: path.read_text() for path in (root / "song").iterdir()}
