"""Looks at a TorchScript archive's table of contents before torch is let near it."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import PurePosixPath
from typing import Final

from stemsplit.errors import ModelError

MAX_WEIGHTS_BYTES: Final = 1 << 30
"""Weights files are no larger."""

_MAX_ENTRIES: Final = 20_000
# The code of a network is compressed, its weights are not: only code may grow as it is read.
_MAX_INFLATED_BYTES: Final = 64 << 20
_KINDS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_archive(data: bytes, name: str) -> None:
    """See that bytes are a TorchScript archive that unpacks within bounds.

    Parameters
    ----------
    data:
        The whole file, whose hash is known already: it is not read a second time.
    name:
        What to call it in errors.

    Raises
    ------
    ModelError
        No archive, or a damaged one; names that lead out of it, twice the same name, links or
        encryption; more or larger entries than a network has; a pickle that `torch.save` wrote.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    # What zipfile raises for headers of nonsense; RuntimeError holds NotImplementedError too.
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError) as error:
        raise _bad(name, f"no archive ({error})") from error
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise _bad(name, f"{len(entries)} entries")
    names = [entry.orig_filename for entry in entries]
    if len(set(names)) < len(names):
        raise _bad(name, "two entries of one name")
    roots = {_checked(entry, name) for entry in entries}
    inflated = sum(e.file_size for e in entries if e.compress_type != zipfile.ZIP_STORED)
    if inflated > _MAX_INFLATED_BYTES:
        raise _bad(name, f"{inflated} bytes of code")
    if sum(entry.compress_size for entry in entries) > len(data):
        raise _bad(name, "entries that share their bytes")
    if len(roots) > 1:
        raise _bad(name, "more than one top folder")
    (root,) = roots
    if f"{root}/constants.pkl" not in names or not any(
        n.startswith(f"{root}/code/") for n in names
    ):
        raise _bad(name, "a file without code, as torch.save writes it", "it may be a pickle")


def without_origins(data: bytes) -> bytes:
    """Give a TorchScript archive without the notes of where its code lay when it was made.

    They name files and folders of the machine that a model was trained on, and only serve messages
    of errors.
    """
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(kept, "w") as copy:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                copy.writestr(entry, archive.read(entry))
    return kept.getvalue()


def _checked(entry: zipfile.ZipInfo, name: str) -> str:
    """Check an entry by itself; give the folder it is in at the top."""
    path = entry.orig_filename
    parts = PurePosixPath(path).parts
    if (
        not path.isprintable()
        or path.startswith("/")
        or "\\" in path
        or ":" in path
        or ".." in parts
        or len(parts) < 2
    ):
        raise _bad(name, f"an entry named {ascii(path)[:80]}")
    mode = entry.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0):
        raise _bad(name, f"a link or folder named {ascii(path)[:80]}")
    if entry.flag_bits & 1 or entry.compress_type not in _KINDS:
        raise _bad(name, f"an encrypted or oddly packed entry {ascii(path)[:80]}")
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        raise _bad(name, f"an entry of contradictory size, {ascii(path)[:80]}")
    return parts[0]


def _bad(
    name: str, got: str, remedy: str = "do not use it unless you know where it is from"
) -> ModelError:
    return ModelError(f"bad weights {name}", got=got, wanted="a TorchScript archive", remedy=remedy)
