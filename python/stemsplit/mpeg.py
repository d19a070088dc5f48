"""How many samples an MP3 holds: its frames are counted, as its header may say less, or nothing.

libsndfile stops at what the header of the first frame says (Xing or Info, from LAME and others),
or at an estimate where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_HEADER = 4
_ID3V1, _ID3V2_HEADER, _APE_HEADER = 128, 10, 32
_STATED = (b"Xing", b"Info", b"VBRI")
_RATES: Final = (44_100, 48_000, 32_000)
# kbit/s by the four bits of a header, of MPEG-1's layers and of those of MPEG-2 and 2.5.
_FIRST: Final = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_SECOND: Final = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class MpegLength:
    """Samples per channel of all frames, and whether the first one states how many there are."""

    samples: int
    stated: bool


@dataclass(frozen=True)
class _Frame:
    kind: tuple[int, int, int]  # version, layer, sample rate, which all frames of a stream share
    size: int
    samples: int


def mpeg_length(path: Path) -> MpegLength | None:
    """Count the frames of an MPEG audio file; None where it has none of a known size.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        data = _Bytes(file)
        samples, stated, place = 0, False, 0
        first: _Frame | None = None
        while place >= 0 and len(data.at(place, _HEADER)) == _HEADER:
            frame = _frame(data, place)
            if frame is None or (first is not None and frame.kind != first.kind):
                place = _after_tag(data, place) or _next_frame(data, place + 1, first)
                continue
            body = data.at(place, min(frame.size, 64))
            if any(word in body for word in _STATED):  # a frame of no sound
                stated = stated or first is None
            else:
                samples += frame.samples
            first = first or frame
            place += frame.size
    return None if first is None else MpegLength(samples, stated)


class _Bytes:
    """A file, read where it is looked at: a map of it would end the process where reading fails."""

    _BLOCK = 1 << 20

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start, self._held = 0, b""

    def at(self, place: int, size: int) -> bytes:
        """Give so many bytes from a place on, fewer only at the end."""
        begin = place - self._start
        if not 0 <= begin <= len(self._held) - size:
            self._file.seek(place)
            self._start, self._held = place, self._file.read(self._BLOCK)
            begin = 0
        return self._held[begin : begin + size]

    def find(self, byte: bytes, place: int) -> int:
        """Give where a byte is next, from a place on; -1 where it is nowhere."""
        while self.at(place, 1):
            found = self._held.find(byte, place - self._start)
            if found >= 0:
                return self._start + found
            place = self._start + len(self._held)
        return -1


def _frame(data: _Bytes, place: int) -> _Frame | None:
    """Give the frame whose header lies there, if one does and says how long it is."""
    head = int.from_bytes(data.at(place, _HEADER), "big")
    version, layer = (head >> 19) & 3, 4 - ((head >> 17) & 3)
    bits, rate = (head >> 12) & 15, (head >> 10) & 3
    if head >> 21 != 0x7FF or version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    kbps = _FIRST[layer][bits] if is_first else _SECOND[min(layer, 2)][bits]
    sample_rate = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not is_first else 1152
    padding = (head >> 9) & 1
    slot = 4 if layer == 1 else 1
    size = (samples // (8 * slot) * 1000 * kbps // sample_rate + padding) * slot
    return _Frame((version, layer, sample_rate), size, samples)


def _after_tag(data: _Bytes, place: int) -> int:
    """Give where a tag ends that begins there; 0 where none does."""
    head = data.at(place, _APE_HEADER)
    if head.startswith(b"ID3"):
        size = head[6:_ID3V2_HEADER]
        if len(size) == 4 and max(size) < 128:  # seven bits a byte
            length = sum(byte << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
            return place + _ID3V2_HEADER + length
    if head.startswith(b"APETAGEX"):
        is_header = len(head) == _APE_HEADER and head[23] & 0x20
        items = int.from_bytes(head[12:16], "little") if is_header else 0
        return place + _APE_HEADER + items
    return place + _ID3V1 if head.startswith(b"TAG") else 0


def _next_frame(data: _Bytes, place: int, first: _Frame | None) -> int:
    """Give where the next frame begins that another, a tag or the end follows, or -1."""
    while (place := data.find(b"\xff", place)) >= 0:
        frame = _frame(data, place)
        if frame is not None and (first is None or frame.kind == first.kind):
            after = place + frame.size
            ends = not data.at(after, 1)
            if ends or _after_tag(data, after) or _frame(data, after) is not None:
                return place
        place += 1
    return -1
