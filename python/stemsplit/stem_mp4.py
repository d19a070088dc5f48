"""Native Instruments' Stems: an MP4 of five AAC streams, with the box that makes it one.

The box ``moov/udta/stem`` holds JSON that names and colours the four stems and states the settings
of a compressor and limiter, off here. Tracks are: the mixture, which any player plays, then the
four stems. Needs PyAV.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from stemsplit.encode import KeepsItsError
from stemsplit.errors import MissingExtraError
from stemsplit.outputs import Form

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

Block = npt.NDArray[np.float32]

_BIT_RATE: Final = 320_000
# FFmpeg's default coder leaves steps of a quarter of full scale where windows change, and noise of
# its own in place of quiet bands: measured, 30 dB worse on bass and vocals than this one.
_CODER: Final = {"aac_coder": "fast", "aac_pns": "0"}
# Colours apart from each other to every eye (Okabe and Ito 2008, "Color Universal Design").
_COLOURS: Final = {"drums": "#009E73", "bass": "#D55E00", "other": "#CC79A7", "vocals": "#56B4E9"}
_MASTERING: Final = {
    "compressor": {
        "enabled": False,
        "ratio": 3,
        "output_gain": 0.5,
        "release": 0.3,
        "attack": 0.003,
        "input_gain": 0.5,
        "threshold": 0,
        "hp_cutoff": 300,
        "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}


class StemMp4Encoder:
    """Writes a ``.stem.mp4``; mono becomes stereo with equal channels, as players expect stereo.

    Parameters
    ----------
    path:
        The file.
    form:
        Sample rate and channels, 1 or 2.
    names:
        Of the streams: the mixture, then the stems.

    Raises
    ------
    OSError
        From all methods: the file cannot be written.
    MissingExtraError
        PyAV is not installed; `check_available` tells that before the work.
    """

    def __init__(self, path: Path, form: Form, names: Sequence[str]) -> None:
        check_available()
        import av

        self._av = av
        self._path = path
        self._names = tuple(names)
        self._form = form
        self._samples = 0
        # PyAV leaves a file of its own open when it cannot write the header: the disk stays full.
        self._file = KeepsItsError(path)
        self._container = av.open(
            self._file,
            "w",
            format="mp4",
            # Lengths in samples, not in milliseconds; no time of day and no version in the file.
            container_options={"movie_timescale": str(form.sample_rate), "fflags": "+bitexact"},
        )
        self._streams = [self._stream(name) for name in self._names]
        try:
            self._checked(self._container.start_encoding)
        except BaseException:
            self.abort()
            raise

    def write_streams(self, blocks: Sequence[Block]) -> None:
        """Append a block to every stream: float32 (channels, samples) each."""
        for stream, block in zip(self._streams, blocks, strict=True):
            stereo = np.ascontiguousarray(np.broadcast_to(block, (2, block.shape[1])))
            frame = self._av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
            frame.sample_rate = self._form.sample_rate
            frame.pts = self._samples
            frame.time_base = stream.codec_context.time_base
            self._mux(stream, frame)
        self._samples += blocks[0].shape[1]

    def write(self, block: Block) -> None:
        """Append a block to every stream: float32 (streams, channels, samples)."""
        self.write_streams(list(block))

    def close(self) -> None:
        """Complete the file, put the box in, and sync."""
        for stream in self._streams:
            self._mux(stream, None)
        self._checked(self._container.close)
        self._checked(self._file.close)
        with self._path.open("rb+") as file:
            insert_box(file, stem_box(self._names[1:]))
            file.flush()
            os.fsync(file.fileno())

    def abort(self) -> None:
        """Close the file."""
        self._file.silent = True
        with contextlib.suppress(OSError, ValueError):  # one that has no header, say
            self._container.close()
        self._file.close()

    def _mux(self, stream: AudioStream, frame: AudioFrame | None) -> None:
        self._checked(lambda: self._container.mux(stream.encode(frame)))

    def _checked(self, action: Callable[[], object]) -> None:
        try:
            action()
        finally:
            if self._file.error is not None and not self._file.silent:
                raise self._file.error

    def _stream(self, name: str) -> AudioStream:
        stream = self._container.add_stream(
            "aac", rate=self._form.sample_rate, layout="stereo", options=dict(_CODER)
        )
        stream.bit_rate = _BIT_RATE
        stream.codec_context.flags |= self._av.codec.context.Flags.bitexact
        stream.metadata["handler_name"] = name
        stream.metadata["title"] = name
        return stream


def check_available() -> None:
    """Raise `MissingExtraError` where PyAV is missing."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise MissingExtraError.of("cannot write .stem.mp4", "PyAV", "av") from None


def stem_box(stems: Sequence[str]) -> bytes:
    """Give the box with the metadata of four stems."""
    metadata = {
        "mastering_dsp": _MASTERING,
        "version": 1,
        "stems": [{"name": name.capitalize(), "color": _COLOURS[name]} for name in stems],
    }
    return _box(b"stem", json.dumps(metadata).encode())


def insert_box(file: IO[bytes], box: bytes) -> None:
    """Put a box at the end of ``moov/udta`` of an MP4 whose ``moov`` is its last box.

    Nothing before it moves, so the tables of where the samples lie stay true.
    """
    data_end = file.seek(0, os.SEEK_END)
    start, moov = _last_box(file, data_end)
    children = dict(_children(moov))
    udta = children.pop(b"udta", b"") + box
    body = b"".join(_box(kind, content) for kind, content in _children(moov) if kind != b"udta")
    file.seek(start)
    file.write(_box(b"moov", body + _box(b"udta", udta)))


def _last_box(file: IO[bytes], end: int) -> tuple[int, bytes]:
    """Give where the box ``moov`` starts and what it holds."""
    position = 0
    while position < end:
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if kind == b"moov" and position + size == end:
            return position, file.read(size - 8)
        if size < 8:
            break
        position += size
    raise OSError("an MP4 without moov at its end")


def _children(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        yield kind, content[position + 8 : position + size]
        position += max(size, 8)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content
