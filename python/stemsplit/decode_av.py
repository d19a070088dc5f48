"""Decodes what FFmpeg reads and libsndfile does not, through PyAV: m4a, wma, mp4, mkv and more."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemsplit.decode import LONGEST_PADDING, DecodeError, Frames
from stemsplit.errors import MissingExtraError, installing

if TYPE_CHECKING:
    import av

_SUFFIXES = """
.3g2 .3gp .aac .ac3 .amr .ape .asf .avi .dts .eac3 .flv .m4a .m4b .m4r .m4v .mka .mkv .mov .mp2
.mp4 .mpc .mpg .oma .ra .tak .tta .webm .wma .wmv .wv
"""
SUFFIXES = frozenset(_SUFFIXES.split())
"""Endings of the usual files that only PyAV reads."""

# What FFmpeg may take a file for. Its other formats open further files or the network by what a
# file says (playlists, concatenations, images), which a song has no business to do.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,latm,loas,matroska,mov,mp3,"
    "mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,tta,voc,w64,wav,webm,wv"
)


class AvDecoder:
    """One audio stream of a file that FFmpeg reads, the codec's own delay left out.

    FFmpeg drops the encoder's delay where the container states it (MP4 edit lists, Opus, LAME's
    header) and pads the last frame; the padding is cut to the length that an MP4 states.

    Parameters
    ----------
    path:
        The file.
    stream:
        Which of its audio streams; the first is the mixture of a ``.stem.mp4``.

    Raises
    ------
    DecodeError
        Not a file FFmpeg reads, or without that stream.
    MissingExtraError
        PyAV is not installed.
    """

    def __init__(self, path: Path, stream: int = 0) -> None:
        try:
            import av
        except ImportError:
            raise MissingExtraError(
                f"cannot read {path}",
                got="no PyAV",
                wanted="PyAV, which reads this format",
                remedy=installing("av"),
            ) from None
        # A file object, as a name could be a URL or a pattern to FFmpeg.
        self._source = _Source(path)
        try:
            self._container = av.open(
                self._source,
                "r",
                options={"format_whitelist": _CONTAINERS},
                metadata_errors="replace",  # tags that are no UTF-8 are no reason to refuse a song
            )
        except (av.FFmpegError, ValueError) as error:
            self._source.close()
            raise DecodeError(_reason(self._source.error or error)) from error
        try:
            self._open(stream)
        except BaseException:
            self.close()
            raise
        self._frames = self._decoded()
        self._left = np.zeros((self.channels, 0), np.float32)

    def _open(self, index: int) -> None:
        streams = self._container.streams.audio
        if len(streams) <= index:
            raise DecodeError(f"{len(streams)} audio streams" if streams else "no audio stream")
        self._stream = streams[index]
        context = self._stream.codec_context
        if context is None:
            raise DecodeError("a codec that FFmpeg does not know")
        if not context.sample_rate or not context.channels or context.format is None:
            raise DecodeError("an audio stream that does not say what it is")
        self.sample_rate = int(context.sample_rate)
        self.channels = int(context.channels)
        self.format = str(self._container.format.name).partition(",")[0].upper()
        self.subtype = _subtype(context)
        length = self._stream.duration
        base = self._stream.time_base
        self.frames = None
        if length is not None and base is not None and length > 0:
            self.frames = round(length * base * self.sample_rate)
        # Matroska and the like, and some MOVs, count in milliseconds: no length to cut to.
        fine = base is not None and base <= Fraction(1, self.sample_rate)
        self.exact = self.frames is not None and self.format == "MOV" and fine
        self.lacks: str | None = None

    def read(self, samples: int) -> Frames:
        """Decode float32 (samples, channels), fewer only at the end; raises `DecodeError`."""
        parts = [self._left]
        have = self._left.shape[1]
        while have < samples and (block := next(self._frames, None)) is not None:
            parts.append(block)
            have += block.shape[1]
        if self._source.error is not None:
            raise DecodeError(_reason(self._source.error))
        joined: Frames = np.concatenate(parts, axis=1)
        self._left = joined[:, samples:]
        frames: Frames = joined[:, :samples].T
        return frames

    def close(self) -> None:
        """Close the file; harmless when closed already."""
        self._container.close()
        self._source.close()

    def _decoded(self) -> Iterator[Frames]:
        """Give float32 (channels, samples) blocks, without the padding at the end."""
        given = 0
        held: list[Frames] = []
        waiting = 0
        for block in self._converted():
            held.append(block)
            waiting += block.shape[1]
            while held and waiting - held[0].shape[1] >= LONGEST_PADDING:
                given += held[0].shape[1]
                waiting -= held[0].shape[1]
                yield held.pop(0)
        if held:
            rest = np.concatenate(held, axis=1)
            if self.exact and self.frames is not None:
                # A length stated far too short would lose audio: then nothing is cut.
                padding = given + rest.shape[1] - self.frames
                if 0 < padding <= LONGEST_PADDING:
                    rest = rest[:, : max(0, rest.shape[1] - padding)]
            yield rest

    def _converted(self) -> Iterator[Frames]:
        import av

        context = self._stream.codec_context
        # Interleaved: PyAV looks for more than eight planes where there are none, and crashes.
        converter = av.AudioResampler(format="flt", layout=context.layout, rate=context.sample_rate)
        try:
            for frame in self._container.decode(self._stream):
                if frame.sample_rate != self.sample_rate:
                    raise DecodeError(f"a sample rate that changes to {frame.sample_rate} Hz")
                yield from map(self._samples, converter.resample(frame))
            yield from map(self._samples, converter.resample(None))
        except (av.FFmpegError, ValueError) as error:  # ValueError: the channels change
            raise DecodeError(_reason(self._source.error or error)) from error

    def _samples(self, frame: av.AudioFrame) -> Frames:
        channels = frame.layout.nb_channels
        if channels != self.channels:  # the first frame may contradict the header
            raise DecodeError(f"a number of channels that changes to {channels}")
        samples: Frames = frame.to_ndarray().reshape(-1, channels).T
        return samples


class _Source:
    """A file for PyAV, which prints some of the errors that a file raises and drops others."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DecodeError(_reason(error)) from error

    def read(self, size: int) -> bytes:
        """Read; the end of the file, and ``error`` set, where that fails."""
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek; -1, which FFmpeg takes for a failure, where damaged sizes lead out of the file."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1

    def tell(self) -> int:
        """Tell."""
        return self._file.tell()

    def close(self) -> None:
        """Close."""
        self._file.close()


def _subtype(context: av.AudioCodecContext) -> str:
    """Name what the codec holds as libsndfile would; samples of lossy codecs are ``FLOAT``."""
    if not context.codec.lossless or context.codec.lossy:
        return "FLOAT"
    depths = {"u8": "PCM_U8", "s16": "PCM_16", "s32": "PCM_24", "dbl": "DOUBLE"}
    if context.name.startswith("pcm_s32"):
        return "PCM_32"
    # 32 bits hold the 24 of ALAC, FLAC and others; float32, which all is worked in, has no more.
    return depths.get(context.format.name.removesuffix("p"), "FLOAT")


def _reason(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error).rstrip(". ")
