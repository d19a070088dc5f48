"""Whether an audio file is as long as it says itself: copies break off, and headers overflow.

libsndfile takes what there is of a file for all of it. What its container promises is read here, as
far as chunks and Ogg pages tell.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemsplit.decode import DecodeError
from stemsplit.errors import AudioError

_MOST_CHUNKS = 10_000
_MOST_PAGES = 64
_PAGE_HEADER = 27
_LARGEST_PAGE = 65_307
_FIRST, _LAST = 2, 4  # flags of an Ogg page: its stream begins, or ends, there
_WRAP = 1 << 32
_SLACK = 1 << 16


@dataclass(frozen=True)
class _Chunks:
    """How a container counts its chunks.

    Attributes
    ----------
    start:
        Bytes before the first chunk.
    name:
        Bytes of a chunk's name.
    size:
        Bytes of its size.
    order:
        Of those bytes.
    grid:
        Bytes that sizes are rounded up to, to the next chunk.
    samples:
        The name of the chunk of samples, or how it begins.
    """

    start: int
    name: int
    size: int
    order: str
    grid: int
    samples: bytes

    @property
    def counts_itself(self) -> bool:
        """Whether a size is that of the chunk with its name and size, as in Wave64."""
        return self.name > 4


_CONTAINERS = {
    b"RIFF": _Chunks(12, 4, 4, "little", 2, b"data"),
    b"RF64": _Chunks(12, 4, 4, "little", 2, b"data"),
    b"RIFX": _Chunks(12, 4, 4, "big", 2, b"data"),
    b"FORM": _Chunks(12, 4, 4, "big", 2, b"SSND"),
    b"caff": _Chunks(8, 4, 8, "big", 1, b"data"),
    b"riff": _Chunks(40, 16, 8, "little", 8, b"data"),
}


def missing_part(path: Path) -> str | None:
    """Tell what a file lacks at its end, by what its container says; None if nothing, or unknown.

    Raises
    ------
    DecodeError
        It goes on beyond what libsndfile would read of it.
    AudioError
        It goes on beyond what anyone would.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic == b"OggS":
                return _missing_of_ogg(file)
            container = _CONTAINERS.get(magic)
            return None if container is None else _missing_of_chunks(file, magic, container)
    except OSError:  # decoding it will tell
        return None


def _missing_of_chunks(file: IO[bytes], magic: bytes, container: _Chunks) -> str | None:
    length = file.seek(0, os.SEEK_END)
    samples = _samples_chunk(file, magic, container)
    if samples is None:
        return None
    end = sum(samples)
    if magic == b"RIFF" and length - end >= _WRAP:
        raise AudioError(
            f"cannot read all of {file.name}",
            got="a WAV header, which counts to 4 GiB, on a larger file",
            wanted="RF64, Wave64 or FLAC",
            remedy="convert it with a program that ignores the length in the header",
        )
    return f"{end - length} bytes at its end are missing" if end > length else None


def _samples_chunk(file: IO[bytes], magic: bytes, container: _Chunks) -> tuple[int, int] | None:
    """Give where the samples begin and how many bytes they are; None where that is not said."""
    header = container.name + container.size
    place, long_size = container.start, 0
    length = file.seek(0, os.SEEK_END)
    for _ in range(_MOST_CHUNKS):
        if not place < length:  # a damaged size leads anywhere
            return None
        file.seek(place)
        head = file.read(header)
        if len(head) < header:
            return None
        size = int.from_bytes(head[container.name :], container.order)  # type: ignore[arg-type]
        size -= header if container.counts_itself else 0
        if magic == b"RF64" and head.startswith(b"ds64"):
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if head.startswith(container.samples):
            size = long_size if magic == b"RF64" and size == _WRAP - 1 else size
            return None if _is_unknown(size, container) else (place + header, size)
        place += header + -(-size // container.grid) * container.grid
        if size < 0:
            return None
    return None


def _is_unknown(size: int, container: _Chunks) -> bool:
    """Tell whether a size is one that writers put down who do not know it yet.

    Those are 0, -1, and, as of sox and FFmpeg into pipes, sizes just below the most that 31 or 32
    bits hold.
    """
    most = 1 << (8 * container.size)
    return size <= 0 or any(end - _SLACK <= size < end for end in (most // 2, most))


def _missing_of_ogg(file: IO[bytes]) -> str | None:
    serials = _first_serials(file)
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LARGEST_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start : start + _PAGE_HEADER]
    if not serials or start < 0 or len(page) < _PAGE_HEADER:
        return None
    if _serial(page) not in serials:
        raise DecodeError("several streams one after another, the first of which is not all")
    return None if page[5] & _LAST else "its last page is missing"


def _first_serials(file: IO[bytes]) -> set[bytes]:
    """Give the numbers of the streams that begin where an Ogg file does."""
    serials: set[bytes] = set()
    place = 0
    for _ in range(_MOST_PAGES):
        file.seek(place)
        page = file.read(_PAGE_HEADER)
        if len(page) < _PAGE_HEADER or not page.startswith(b"OggS") or not page[5] & _FIRST:
            break
        serials.add(_serial(page))
        place += _PAGE_HEADER + page[26] + sum(file.read(page[26]))
    return serials


def _serial(page: bytes) -> bytes:
    return page[14:18]
