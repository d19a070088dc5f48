"""Encoders: what turns blocks of samples into the bytes of an audio file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from stemsplit.errors import AudioError
from stemsplit.outputs import Form
from stemsplit.wav import SAMPLE_BYTES, encode, is_integer, quantise, wav_header

Block = npt.NDArray[np.float32]

# Variable bit rates at which listening tests hear no difference: about 245 kbit/s of MP3 (V0) and
# 256 kbit/s of Vorbis (q8); libsndfile turns its scale from 0, the best, to 1.
_QUALITY: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "mp3": {"bitrate_mode": "VARIABLE", "compression_level": 0.0},
        "ogg": {"compression_level": 0.2},
    }
)
# libvorbis keeps all of a write on the stack, of which a thread may have 512 KiB.
_WRITTEN_AT_A_TIME: Final = MappingProxyType({"ogg": 4096})
# Bytes of samples; what is beside them in the file takes less than the rest of 4 GiB.
_LIMIT: Final = MappingProxyType({"aiff": (1 << 32) - 4096})
_SUBTYPE_BYTES: Final = MappingProxyType(
    {**SAMPLE_BYTES, "VORBIS": 1, "MPEG_LAYER_III": 1, "AAC": 1}
)


class Encoder(Protocol):
    """A file being written; its ``close`` completes it and sees it safely on the disk."""

    def write(self, block: Block) -> None:
        """Append float32 (channels, samples); raises `OSError`."""

    def close(self) -> None:
        """Complete the file; raises `OSError`."""

    def abort(self) -> None:
        """Let go of the file as it is; harmless after `close`."""


def open_encoder(path: Path, form: Form) -> Encoder:
    """Create a file of any format but ``stem``; raises `OSError`."""
    return WavEncoder(path, form) if form.format == "wav" else SndfileEncoder(path, form)


def estimated_bytes(form: Form, frames: int) -> int:
    """Estimate the size of a file; lossy formats are taken for a byte a sample, FLAC for PCM."""
    return frames * form.channels * _SUBTYPE_BYTES[form.subtype]


def check_length(form: Form, frames: int, song: object) -> None:
    """See, before the work, that a format can hold so many samples of a song.

    Raises
    ------
    AudioError
        It cannot.
    """
    size, most = estimated_bytes(form, frames), _LIMIT.get(form.format)
    if most is not None and size > most:
        raise AudioError(
            f"{form.format} cannot hold the length of {song}",
            got=f"{size / 1e9:.1f} GB a stem",
            wanted=f"at most {most / 1e9:.1f} GB",
            remedy="choose --format wav",
        )


class WavEncoder:
    """Writes WAV, and RF64 past 4 GiB; without ``sync`` it may be lost when the power is."""

    def __init__(self, path: Path, form: Form, *, sync: bool = True) -> None:
        self._form = form
        self._sync = sync
        self._frames = 0
        self._file: IO[bytes] = path.open("xb")
        try:
            self._file.write(self._header())
        except BaseException:
            self.abort()
            raise

    def write(self, block: Block) -> None:
        """Append a block."""
        self._file.write(encode(block, self._form.subtype))
        self._frames += block.shape[1]

    def close(self) -> None:
        """Complete the header and sync."""
        if self._file.closed:
            return
        if self._frames * self._form.channels * SAMPLE_BYTES[self._form.subtype] % 2:
            self._file.write(b"\0")
        self._file.seek(0)
        self._file.write(self._header())
        if self._sync:
            _sync_and_close(self._file)
        else:
            self._file.close()

    def abort(self) -> None:
        """Close the file."""
        _close(self._file)

    def _header(self) -> bytes:
        form = self._form
        return wav_header(form.sample_rate, form.channels, form.subtype, self._frames)


class SndfileEncoder:
    """Writes what libsndfile writes: AIFF, FLAC, Ogg Vorbis, MP3. Equal samples, equal bytes."""

    def __init__(self, path: Path, form: Form) -> None:
        self._form = form
        self._bytes = 0
        self._file = KeepsItsError(path)
        try:
            self._sound = soundfile.SoundFile(
                self._file,
                "w",
                form.sample_rate,
                form.channels,
                form.subtype,
                format=form.format.upper(),
                **_quality(form),
            )
        except soundfile.SoundFileError as error:
            self._file.close()
            raise self._file.error or OSError(str(error)) from error

    def write(self, block: Block) -> None:
        """Append a block."""
        subtype = self._form.subtype
        if is_integer(subtype):
            # libsndfile scales floats by one step less than full scale; whole numbers it takes
            # as they are, left-justified.
            scale = 2.0 ** (32 - 8 * SAMPLE_BYTES[subtype])
            samples = (quantise(block, subtype) * np.float32(scale)).astype(np.int32)
        else:
            samples = np.ascontiguousarray(block.T)
        self._bytes += estimated_bytes(self._form, len(samples))
        if self._bytes > _LIMIT.get(self._form.format, self._bytes):
            raise OSError("AIFF ends at 4 GiB, choose --format wav")
        step = _WRITTEN_AT_A_TIME.get(self._form.format, len(samples) or 1)
        for start in range(0, len(samples), step):
            self._checked(partial(self._sound.write, samples[start : start + step]))

    def close(self) -> None:
        """Complete the file and sync."""
        if self._sound.closed:
            return
        self._checked(self._sound.close)
        if self._form.format == "aiff" and not self._form.bounded:
            _clear_time(self._file.file)
        if self._form.format == "ogg":
            _set_serial(self._file.file)
        _sync_and_close(self._file.file)

    def abort(self) -> None:
        """Close the file."""
        self._file.silent = True
        with contextlib.suppress(soundfile.SoundFileError):
            self._sound.close()
        _close(self._file.file)

    def _checked(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (soundfile.SoundFileError, AssertionError) as error:  # fewer samples than given
            raise self._file.error or OSError(str(error)) from error
        if self._file.error is not None:
            raise self._file.error


class KeepsItsError:
    """A file for libraries to write to that cannot hear, or do not tell, why a write failed.

    Attributes
    ----------
    error:
        The first error, after which nothing more is written.
    silent:
        Set it to let a library end its file without another error.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb+")
        self.error: OSError | None = None
        self.silent = False

    def write(self, data: bytes) -> int:
        """Write, or keep the error and write nothing."""
        if self.error is None and not self.silent:
            try:
                return self.file.write(data)
            except OSError as error:
                self.error = error
        return 0 if not self.silent else len(data)

    def read(self, size: int = -1) -> bytes:
        """Read."""
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek; that writes what is buffered, so it may fail as writing does."""
        try:
            return self.file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return -1

    def tell(self) -> int:
        """Tell."""
        return self.file.tell()

    def flush(self) -> None:
        """Leave flushing to the end."""

    def close(self) -> None:
        """Close; that writes what is buffered, so it may fail as writing does."""
        try:
            self.file.close()
        except OSError as error:
            self.error = self.error or error


def _quality(form: Form) -> dict[str, Any]:
    """Give libsndfile's settings of a lossy format."""
    if form.bitrate is None:
        return _QUALITY.get(form.format, {})
    level = (320 - form.bitrate) / (320 - 32)  # its scale from the highest bit rate to the lowest
    return {"bitrate_mode": "CONSTANT", "compression_level": level}


def _clear_time(file: IO[bytes]) -> None:
    """Zero the time of day that libsndfile puts into AIFF's PEAK chunk of floats."""
    file.seek(0)
    start = file.read(4096).find(b"PEAK")
    if start >= 0:
        file.seek(start + 12)  # the chunk's name, size and version are before it
        file.write(bytes(4))


def _set_serial(file: IO[bytes]) -> None:
    """Give an Ogg stream one serial number instead of the random one libsndfile draws."""
    from mutagen.ogg import OggPage

    file.seek(0)
    while True:
        start = file.tell()
        try:
            page = OggPage(file)
        except EOFError:
            return
        page.serial = 1
        file.seek(start)
        file.write(page.write())


def _sync_and_close(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # closing flushes, which fails again where writing did
        file.close()
