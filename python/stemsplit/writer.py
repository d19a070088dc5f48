"""Stems written as WAV files, under temporary names until all of them are complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from stemsplit.errors import OutputError, UsageError
from stemsplit.wav import SAMPLE_BYTES, encode, is_integer, wav_header

Block = npt.NDArray[np.float32]


class AudioWriter:
    """A WAV file that appears under its name only when complete.

    Samples go to a temporary name in the same folder; `commit` renames. Past 4 GiB the file
    becomes RF64 by itself. Integer subtypes clip at full scale; `peak` and `clipped` tell.

    Parameters
    ----------
    path:
        The final name; its folder must exist.
    sample_rate:
        Hz.
    channels:
        Rows of every block.
    subtype:
        ``PCM_16``, ``PCM_24``, ``PCM_32``, ``FLOAT`` or ``DOUBLE``.

    Attributes
    ----------
    frames:
        Samples per channel written so far.
    peak:
        The largest absolute value written, full scale 1.
    clipped:
        Values beyond full scale that an integer subtype clipped, over all channels.

    Raises
    ------
    OutputError
        The file cannot be created, written (the disk is full) or renamed.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, channels: int, subtype: str
    ) -> None:
        if subtype not in SAMPLE_BYTES:
            raise ValueError(f"bad subtype: got {subtype}, wanted one of {', '.join(SAMPLE_BYTES)}")
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.subtype = subtype
        self.frames = 0
        self.peak = 0.0
        self.clipped = 0
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        try:
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._file = self._temporary.open("xb")
        except OSError as error:
            raise _output_error(self.path, error) from error
        try:
            self._file.write(self._header())
        except OSError as error:
            self.abort()
            raise _output_error(self.path, error) from error

    def write(self, block: Block) -> None:
        """Append a block, float32 (channels, samples); raises `OutputError`."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"bad block: got shape {block.shape}, wanted ({self.channels}, n)")
        if not block.shape[1]:
            return
        peak = max(float(block.max()), -float(block.min()))
        self.peak = max(self.peak, peak)
        if is_integer(self.subtype) and peak > 1:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
        try:
            self._file.write(encode(block, self.subtype))
        except OSError as error:
            raise _output_error(self.path, error) from error
        self.frames += block.shape[1]

    def finish(self) -> None:
        """Complete the temporary file and see it safely on disk; raises `OutputError`."""
        try:
            if self.frames * self.channels * SAMPLE_BYTES[self.subtype] % 2:
                self._file.write(b"\0")
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _output_error(self.path, error) from error

    def commit(self) -> None:
        """Give the file its name, in place of one that has it; raises `OutputError`."""
        if not self._file.closed:
            self.finish()
        try:
            self._temporary.replace(self.path)
        except OSError as error:
            raise _output_error(self.path, error) from error

    def abort(self) -> None:
        """Remove the temporary file; harmless after `commit` or another `abort`."""
        with contextlib.suppress(OSError):  # closing flushes, which fails again where writing did
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _header(self) -> bytes:
        return wav_header(self.sample_rate, self.channels, self.subtype, self.frames)


class StemSetWriter:
    """The stems of one song, one WAV file each, that appear together or not at all.

    A context manager: leaving it without `commit` removes every temporary file and every folder it
    made. All files are opened at once, so that an unwritable place shows before the work.

    Parameters
    ----------
    folder:
        Made if missing, parents too.
    stems:
        Names; ``vocals`` becomes ``folder/vocals.wav``.
    sample_rate, channels, subtype:
        As for `AudioWriter`.
    source:
        A file these must not overwrite: the song itself.

    Attributes
    ----------
    writers:
        The `AudioWriter` of each stem.

    Raises
    ------
    OutputError
        The folder or a file cannot be made, written or renamed.
    UsageError
        A stem would overwrite ``source``.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stems: Sequence[str],
        *,
        sample_rate: int,
        channels: int,
        subtype: str,
        source: Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.writers: dict[str, AudioWriter] = {}
        self._made: list[Path] = []
        try:
            self._make_folder()
            for stem in stems:
                path = self.folder / f"{stem}.wav"
                if source is not None and path.exists() and path.samefile(source):
                    raise UsageError(
                        "a stem would overwrite the song",
                        got=path,
                        remedy="choose another --output",
                    )
                self.writers[stem] = AudioWriter(path, sample_rate, channels, subtype)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> StemSetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    @property
    def paths(self) -> dict[str, Path]:
        """The final path of each stem."""
        return {stem: writer.path for stem, writer in self.writers.items()}

    @property
    def clipped(self) -> dict[str, int]:
        """Clipped values of each stem that has any."""
        return {stem: writer.clipped for stem, writer in self.writers.items() if writer.clipped}

    def write(self, block: Block) -> None:
        """Append a block to every stem: float32 (stems, channels, samples), in `stems` order."""
        if block.ndim != 3 or block.shape[0] != len(self.writers):
            raise ValueError(f"bad block: got {block.shape}, wanted ({len(self.writers)}, c, n)")
        for writer, stem in zip(self.writers.values(), block, strict=True):
            writer.write(stem)

    def commit(self) -> None:
        """Complete every file, then name them all; raises `OutputError`."""
        for writer in self.writers.values():
            writer.finish()
        for writer in self.writers.values():
            writer.commit()
        self._made.clear()

    def abort(self) -> None:
        """Remove what is not committed; harmless after `commit`."""
        for writer in self.writers.values():
            writer.abort()
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:  # someone else put a file there meanwhile
                break
        self._made.clear()

    def _make_folder(self) -> None:
        try:
            missing = []
            place = self.folder
            while not place.exists() and place != place.parent:
                missing.append(place)
                place = place.parent
            for folder in reversed(missing):
                folder.mkdir()
                self._made.append(folder)
            if not self.folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            raise _output_error(self.folder, error) from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def _output_error(path: Path, error: OSError) -> OutputError:
    remedy = "choose another --output"
    if error.errno == errno.ENOSPC:
        remedy = "free some space or " + remedy
    return OutputError(f"cannot write {path}", got=error.strerror or error, remedy=remedy)
