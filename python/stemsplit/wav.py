"""The bytes of a WAV file: its header and its samples, RF64 when it outgrows 4 GiB.

Written here rather than by libsndfile because that stamps the time of day into float files (so the
same run gives different bytes), and has to be told before the first sample whether the file will
outgrow 4 GiB. The header has one length whatever the file becomes: it starts with a ``JUNK`` chunk
that turns into ``ds64`` (EBU Tech 3306, "RF64: an extended file format for audio", 2.1).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of one sample, for each subtype written here (libsndfile's names)."""

_TYPES = {"PCM_16": "<i2", "PCM_24": "<i4", "PCM_32": "<i4", "FLOAT": "<f4", "DOUBLE": "<f8"}

RIFF_LIMIT = 0xFFFFFFFF
"""The largest size a RIFF chunk can state, in bytes."""

_PCM, _IEEE_FLOAT = 1, 3


def is_integer(subtype: str) -> bool:
    """Tell whether a subtype clips at full scale."""
    return subtype.startswith("PCM_")


def wav_header(
    sample_rate: int, channels: int, subtype: str, frames: int, *, riff_limit: int = RIFF_LIMIT
) -> bytes:
    """Give the header of a WAV or RF64 file.

    Parameters
    ----------
    sample_rate:
        Hz.
    channels, frames:
        Channels, and samples per channel.
    subtype:
        A key of `SAMPLE_BYTES`.
    riff_limit:
        Size in bytes past which the file becomes RF64; lowered by tests only.

    Returns
    -------
    bytes
        Everything up to the first sample. Its length depends on the subtype alone. The format is
        the plain one for any channel count, as the source's speaker positions are not known.
    """
    width = SAMPLE_BYTES[subtype]
    align = channels * width
    data_bytes = frames * align
    byte_rate = min(sample_rate * align, RIFF_LIMIT)
    tag = _PCM if is_integer(subtype) else _IEEE_FLOAT
    fmt = struct.pack("<HHIIHH", tag, channels, sample_rate, byte_rate, align, 8 * width)
    if tag == _IEEE_FLOAT:
        fmt += struct.pack("<H", 0)
    fact_bytes = 12 if tag == _IEEE_FLOAT else 0
    # "WAVE", the JUNK/ds64 chunk, fmt, fact, the data chunk with its padding byte
    riff_bytes = 4 + 36 + 8 + len(fmt) + fact_bytes + 8 + data_bytes + data_bytes % 2
    large = riff_bytes > riff_limit

    def claim(size: int) -> int:
        return RIFF_LIMIT if large else size

    if large:
        first = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, frames, 0)
    else:
        first = struct.pack("<4sI28x", b"JUNK", 28)
    parts = [
        struct.pack("<4sI4s", b"RF64" if large else b"RIFF", claim(riff_bytes), b"WAVE"),
        first,
        struct.pack("<4sI", b"fmt ", len(fmt)) + fmt,
    ]
    if fact_bytes:
        parts.append(struct.pack("<4sII", b"fact", 4, claim(frames)))
    parts.append(struct.pack("<4sI", b"data", claim(data_bytes)))
    return b"".join(parts)


def encode(block: npt.NDArray[np.float32], subtype: str) -> memoryview:
    """Give the bytes of a block of samples.

    Parameters
    ----------
    block:
        float32 (channels, samples), full scale 1.
    subtype:
        A key of `SAMPLE_BYTES`. Integer subtypes round to the nearest step, without dither (so
        that samples read from a file of the same depth are written back bit for bit), and clip at
        full scale, never wrap.
    """
    if not is_integer(subtype):
        return _bytes(_interleaved(block).astype(_TYPES[subtype], copy=False))
    steps = quantise(block, subtype).astype(_TYPES[subtype])
    if subtype != "PCM_24":
        return _bytes(steps)
    return _bytes(np.ascontiguousarray(steps.view(np.uint8).reshape(-1, 4)[:, :3]))


def quantise(block: npt.NDArray[np.float32], subtype: str) -> npt.NDArray[np.float32]:
    """Round a block, float32 (channels, samples), to the steps of an integer subtype.

    Returns
    -------
    numpy.ndarray
        Whole numbers as float32 (samples, channels), clipped to what the subtype holds.
    """
    full_scale = 2.0 ** (8 * SAMPLE_BYTES[subtype] - 1)
    # The last float32 below full scale: full_scale - 1 itself rounds up to full_scale at 32 bits.
    top = min(full_scale - 1, float(np.nextafter(np.float32(full_scale), np.float32(0))))
    steps: npt.NDArray[np.float32] = _interleaved(block) * np.float32(full_scale)
    np.rint(steps, out=steps)
    np.clip(steps, -full_scale, top, out=steps)
    return steps


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _interleaved(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give float32 (samples, channels): as it is where that is its memory's order."""
    frames: npt.NDArray[np.float32] = block.T
    if frames.flags.c_contiguous:
        return frames
    copied = np.empty_like(frames, order="C")
    for channel, samples in enumerate(block):  # half again as fast as copying the transpose
        copied[:, channel] = samples
    return copied
