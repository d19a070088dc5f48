"""Audio files, decoded as blocks of float32 (channels, samples)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from stemsplit import decode_av
from stemsplit.decode import LONGEST_PADDING, DecodeError, Decoder, SndfileDecoder, short_of
from stemsplit.errors import AudioError, InputError, MissingExtraError, installing
from stemsplit.outputs import Form
from stemsplit.whole import missing_part

Block = npt.NDArray[np.float32]

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000
MAX_PEAK = 1e10
"""Times full scale: far beyond any sound, and far enough below where float32 powers overflow."""

_SUFFIXES = """
.aif .aifc .aiff .au .caf .flac .mp3 .oga .ogg .opus .rf64 .snd .w64 .wav .wave
"""
SNDFILE_SUFFIXES = frozenset(_SUFFIXES.split())
"""Endings of the usual files that libsndfile reads."""

AUDIO_SUFFIXES = SNDFILE_SUFFIXES | decode_av.SUFFIXES
"""Endings by which a file in a folder is taken for a song."""

_FORMATS = "a file libsndfile or FFmpeg reads: WAV, FLAC, OGG, MP3, AIFF, M4A, MP4 and others"
_HEAD_SAMPLES = 4096
# Fewer bytes a sample than any codec needs, even for silence.
_LEAST_BYTES_PER_SAMPLE = 1e-3


class AudioReader:
    """An audio file, decoded forward once, block by block.

    Parameters
    ----------
    path:
        Anything libsndfile reads, or else PyAV where it is installed.

    Attributes
    ----------
    sample_rate:
        Hz.
    channels:
        Channels in the file, all of them kept.
    frames:
        Samples per channel as the header claims them, None where it does not say. For progress
        only: what `blocks` gives is the length.
    subtype, format:
        libsndfile's names, such as ``PCM_16`` and ``WAV``.

    Raises
    ------
    InputError
        The file is missing, a folder, or may not be read.
    AudioError
        It is no audio file, or holds no samples; from `blocks`: it is damaged.
    MissingExtraError
        Its name ends as those of files that only PyAV reads, and there is no PyAV.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._bytes = _check_readable(self.path)
        self._decoder, self._missing = _decoder(self.path)
        try:
            self.sample_rate = self._decoder.sample_rate
            self.channels = self._decoder.channels
            self.subtype = self._decoder.subtype
            self.format = self._decoder.format
            self.frames = self._decoder.frames
            self._check_rate()
            self._head = self._read(_HEAD_SAMPLES)
            if not len(self._head):
                raise AudioError(
                    f"no audio in {self.path}",
                    got="zero samples",
                    wanted="at least one",
                    remedy="check that the export that made it ran to its end",
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def form(self) -> Form:
        """How the samples are stored; the container does not matter."""
        return Form("wav", self.subtype, self.sample_rate, self.channels)

    @property
    def likely_frames(self) -> int:
        """Samples per channel, for estimates: 0 where the header does not say or cannot mean it."""
        claimed = self.frames or 0
        possible = claimed * _LEAST_BYTES_PER_SAMPLE <= self._bytes
        return claimed if possible else 0

    def shortfall(self, samples: int) -> str | None:
        """Tell what a file lacks of what it says itself; None if nothing, or where it does not say.

        Parameters
        ----------
        samples:
            Per channel, that it has given to its end.
        """
        stated = self.frames if self._decoder.exact else None
        missing = self._missing or self._decoder.lacks
        if missing is None and stated and samples < stated - LONGEST_PADDING:
            return short_of(samples, stated)
        return missing

    def close(self) -> None:
        """Close the file; harmless when closed already."""
        self._decoder.close()

    def blocks(self, size: int) -> Iterator[Block]:
        """Decode from where the last call stopped to the end.

        Parameters
        ----------
        size:
            Samples of every block but the last, which may be shorter. It bounds the memory.

        Yields
        ------
        numpy.ndarray
            float32 (channels, samples), contiguous, the caller's to keep; never empty.

        Raises
        ------
        AudioError
            The file is damaged, or a sample is not a finite number.
        """
        if size < 1:
            raise ValueError(f"bad block size: got {size}, wanted at least 1")
        while True:
            frames = self._head[:size]
            self._head = self._head[size:]
            if len(frames) < size:
                frames = np.concatenate((frames, self._read(size - len(frames))))
            if not len(frames):
                return
            yield np.ascontiguousarray(frames.T)

    def _read(self, samples: int) -> Block:
        """Decode up to so many samples: float32 (samples, channels)."""
        try:
            frames = self._decoder.read(samples)
        except DecodeError as error:
            raise AudioError(
                f"damaged audio in {self.path}",
                got=error,
                remedy="re-export or re-download the file",
            ) from error
        if not np.isfinite(frames).all():
            raise AudioError(
                f"bad samples in {self.path}",
                got="NaN or infinity",
                wanted="finite numbers",
                remedy="re-export the file",
            )
        if len(frames) and (peak := float(np.abs(frames).max())) > MAX_PEAK:
            raise AudioError(
                f"bad samples in {self.path}",
                got=f"a peak of {peak:.3g} times full scale",
                wanted=f"at most {MAX_PEAK:.0e}",
                remedy="normalise the file, or re-export it",
            )
        return frames

    def _check_rate(self) -> None:
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise AudioError(
                f"bad sample rate in {self.path}",
                got=f"{self.sample_rate} Hz",
                wanted=f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz",
                remedy="resample the file first",
            )


def _check_readable(path: Path) -> int:
    """See that there is a file; give its bytes."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder", wanted="an audio file")
        if path.exists() and not path.is_file():
            raise InputError(
                f"{path} is not a regular file",
                wanted="an audio file",
                remedy="pipe it in: stemsplit - < FILE",
            )
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            empty = not file.read(1)
    except FileNotFoundError as error:
        is_address = path.parts[:1] in (("http:",), ("https:",))
        remedy = "download it first" if is_address else "check the name and the folder"
        raise InputError(f"no such file: {path}", remedy=remedy) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        loop = isinstance(error, OSError) and error.errno == errno.ELOOP
        remedy = "see where the link leads" if loop else "check its permissions"
        raise InputError(f"cannot open {path}", got=_reason(error), remedy=remedy) from error
    if empty:
        raise AudioError(
            f"no audio in {path}",
            got="an empty file",
            wanted=_FORMATS,
            remedy="see that its export ran to the end",
        )
    return size


def _decoder(path: Path) -> tuple[Decoder, str | None]:
    """Open a file with the first decoder that takes it; tell what of it is missing."""
    missing = None
    try:
        missing = missing_part(path)
        return SndfileDecoder(path), missing
    except DecodeError as error:
        reason = error
    remedy = "convert it first, for example with ffmpeg"
    try:
        return decode_av.AvDecoder(path), missing
    except DecodeError as error:
        if path.suffix.lower() in decode_av.SUFFIXES:
            reason = error
    except MissingExtraError:
        if path.suffix.lower() in decode_av.SUFFIXES:
            raise
        remedy += f", or let stemsplit try: {installing('av')}"
    raise AudioError(
        f"cannot read {path} as audio", got=reason, wanted=_FORMATS, remedy=remedy
    ) from reason


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
