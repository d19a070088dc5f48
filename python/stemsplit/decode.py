"""Decoders: what turns a file into samples, libsndfile's behind the face PyAV's shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from stemsplit.mpeg import mpeg_length

Frames = npt.NDArray[np.float32]

LONGEST_PADDING = 8192
"""Samples, of any codec: what some headers count and some do not."""

_UNKNOWN_LENGTH = 1 << 62  # libsndfile claims 2**63 - 1 samples when a stream states no length


class DecodeError(Exception):
    """A decoder's reason, for the error that names the file."""


class Decoder(Protocol):
    """An open file, decoded forward once.

    ``frames`` is what the header claims, None where it does not say, and ``exact`` whether it means
    that to the codec's padding; ``lacks`` tells what is known to be missing at its end before it is
    decoded; ``subtype`` and ``format`` are libsndfile's names.
    """

    sample_rate: int
    channels: int
    frames: int | None
    exact: bool
    lacks: str | None
    subtype: str
    format: str

    def read(self, samples: int) -> Frames:
        """Decode float32 (samples, channels), fewer only at the end; raises `DecodeError`."""

    def close(self) -> None:
        """Close the file; harmless when closed already."""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile carries no types
    """A file never sought in: soundfile seeks after each read, which streamed FLAC refuses."""

    def seekable(self) -> bool:
        return False


class SndfileDecoder:
    """Decodes what libsndfile reads; raises `DecodeError` for everything else."""

    def __init__(self, path: Path) -> None:
        try:
            # The name as bytes, as soundfile cannot encode names that are not valid UTF-8.
            self._file = _ForwardFile(os.fsencode(path) if os.name == "posix" else str(path))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a .raw file, no header
            raise DecodeError(_reason(error)) from error
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.subtype = str(self._file.subtype)
        self.format = str(self._file.format)
        claimed = int(self._file.frames)
        self.frames = claimed if claimed < _UNKNOWN_LENGTH else None
        self.lacks: str | None = None
        # Of others libsndfile gives what the file has room for.
        self.exact = self.frames is not None and self.format == "FLAC"
        if self.format == "MP3":
            self._count_frames(path, claimed)

    def _count_frames(self, path: Path, claimed: int) -> None:
        """See that libsndfile reads an MP3 to its end, and how long it is."""
        try:
            length = mpeg_length(path)
        except (OSError, ValueError):  # reading it will tell
            return
        if length is None:
            return
        if length.samples > claimed + LONGEST_PADDING:
            self.close()
            told = "its header counts" if length.stated else "libsndfile expects of it"
            raise DecodeError(f"an MP3 of {length.samples} samples, more than {told}")
        self.exact = length.stated
        if not length.stated:
            self.frames = length.samples
        elif length.samples < claimed - LONGEST_PADDING:
            self.lacks = short_of(length.samples, claimed)

    def read(self, samples: int) -> Frames:
        """Decode float32 (samples, channels)."""
        try:
            frames: Frames = self._file.read(out=np.empty((samples, self.channels), np.float32))
        except soundfile.SoundFileError as error:
            raise DecodeError(_reason(error)) from error
        return frames

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def short_of(samples: int, stated: int) -> str:
    """Say that there are fewer samples than a header states."""
    return f"got {samples} samples, wanted {stated} as its header says"


def _reason(error: BaseException) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).removeprefix("Error : ").rstrip(". ")
    return str(error).rstrip(". ")
