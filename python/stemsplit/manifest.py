"""What was made of a song and how: the record by which a later run knows that it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from stemsplit.files import absolute
from stemsplit.models import ModelCard
from stemsplit.outputs import STATE_FOLDER, OutputOptions

SCHEMA = 1
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """An input file as it was read: its absolute path, bytes, time of change in ns, SHA-256."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    def unchanged(self, path: Path) -> bool:
        """Tell whether a file is this one still; only a changed time makes it be read.

        Another file of the same content counts as this one.
        """
        try:
            status = path.stat()
            if status.st_size != self.size:
                return False
            if absolute(path) == self.path and status.st_mtime_ns == self.mtime_ns:
                return True
            return fingerprint(path).sha256 == self.sha256
        except OSError:
            return False


def fingerprint(path: Path) -> Fingerprint:
    """Read a file whole and give its fingerprint; raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return Fingerprint(absolute(path), status.st_size, status.st_mtime_ns, digest.hexdigest())


@dataclass(frozen=True)
class Manifest:
    """The record of a song in an output folder.

    Attributes
    ----------
    track:
        The song's name there.
    input:
        What was separated.
    settings:
        Everything the files' content depends on, the model's SHA-256 among it.
    outputs:
        Paths below the output folder by stem.
    sizes:
        Bytes of each path.
    owned:
        Paths of this and earlier runs, which a later run may replace.
    earlier:
        Bytes of those of earlier runs.
    moves:
        Path of each file by its temporary name, for a run that has to finish the renaming.
    result:
        Facts for the report of a run that skips the song.
    version:
        Of stemsplit.
    """

    track: str
    input: Fingerprint
    settings: dict[str, Any]
    outputs: dict[str, str]
    sizes: dict[str, int]
    owned: tuple[str, ...] = ()
    earlier: dict[str, int] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Give the record as JSON; names that are no text keep their bytes as lone surrogates."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    def complete(self, root: Path) -> bool:
        """Tell whether every output lies below a folder, with the size it was written with."""
        try:
            return all((root / path).stat().st_size == size for path, size in self.sizes.items())
        except OSError:
            return False

    def is_of(self, path: Path) -> bool:
        """Tell whether it is the record of a file: in its place, or moved and the same still."""
        return absolute(path) == self.input.path or self.input.unchanged(path)

    def holds(self, path: str, root: Path) -> bool:
        """Tell whether a file below a folder is one of its own, as large as it was written."""
        known = {**self.earlier, **self.sizes}.get(path)  # older records tell of the last run alone
        return path in self.owned and (known is None or (root / path).stat().st_size == known)

    def matches(self, settings: Mapping[str, Any]) -> bool:
        """Tell whether it was made with these settings."""
        mine, theirs = _canonical(settings), _canonical(self.settings)
        if "seal" not in theirs.get("model", {}):  # as of older records
            mine.get("model", {}).pop("seal", None)
        return bool(mine == theirs)

    def is_done(self, settings: Mapping[str, Any], path: Path, root: Path) -> bool:
        """Tell whether all that these settings would make of a file lies below a folder already."""
        return self.matches(settings) and self.complete(root) and self.input.unchanged(path)


def song_settings(
    card: ModelCard, soft: bool, options: OutputOptions, shifts: int = 1
) -> dict[str, Any]:
    """Give everything the content of a song's files depends on.

    Device, precision, threads and segment are left out: they change rounding only. Shifts and a
    bit rate are there where they are asked for, so that records from before them stay good.
    """
    model = {"name": card.name, "sha256": card.sha256, "seal": card.seal}
    settings = {"model": model, "soft": soft, **dataclasses.asdict(options)}
    if options.bitrate is None:
        del settings["bitrate"]
    return settings if shifts == 1 else {**settings, "shifts": shifts}


def _canonical(settings: Mapping[str, Any]) -> Any:
    """Give settings as JSON holds them; stems are the same ones in any order."""
    chosen = settings.get("stems")
    return json.loads(json.dumps({**settings, "stems": sorted(chosen) if chosen else None}))


def read_manifest(path: Path) -> Manifest | None:
    """Read a record; None where there is none, or none that this version understands."""
    try:
        facts = json.loads(path.read_bytes())
        if facts["schema"] != SCHEMA:
            return None
        changed = {"input": Fingerprint(**facts["input"]), "owned": tuple(facts["owned"])}
        manifest = Manifest(**{**facts, **changed})
        return manifest if _stays_below(manifest) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _stays_below(manifest: Manifest) -> bool:
    """Tell whether all files of a record lie in its folder, which may have come from anywhere."""
    places = {
        *manifest.outputs.values(),
        *manifest.moves.values(),
        *(place for places in (manifest.sizes, manifest.earlier) for place in places),
        *manifest.owned,
    }
    names = all(len(_parts(name)) == 1 for name in manifest.moves)
    return names and all(STATE_FOLDER not in map(str.casefold, _parts(place)) for place in places)


def _parts(place: str) -> tuple[str, ...]:
    """Give the parts of a path that goes down only; raises `ValueError` for others."""
    path, drive = PurePosixPath(place), PureWindowsPath(place).drive
    if path.is_absolute() or drive or "\\" in place or ".." in path.parts or not path.parts:
        raise ValueError(f"a path that leads elsewhere: {place}")
    return path.parts
