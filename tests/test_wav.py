"""WAV bytes, decoded by libsndfile as the independent reference."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from stemsplit.outputs import kept_subtype
from stemsplit.wav import SAMPLE_BYTES, encode, wav_header

DEPTHS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def file_of(block, subtype, sample_rate=44_100, **limits):
    data = encode(block, subtype)
    header = wav_header(sample_rate, *block.shape[:1], subtype, block.shape[1], **limits)
    return header + data + b"\0" * (len(data) % 2)


def noise(channels, samples, scale=0.3):
    rng = np.random.default_rng(0)
    return (scale * rng.standard_normal((channels, samples))).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
@pytest.mark.parametrize("container", ["WAV", "RF64"])
def test_libsndfile_reads_what_was_encoded(channels, subtype, container):
    block = np.clip(noise(channels, 1001), -0.99, 0.99)
    limits = {"riff_limit": 1000} if container == "RF64" else {}
    data = file_of(block, subtype, **limits)
    info = soundfile.info(io.BytesIO(data))
    assert (info.format, info.subtype) == (container, subtype)
    assert (info.samplerate, info.channels, info.frames) == (44_100, channels, 1001)
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    expected = block.T.astype(np.float64)
    if subtype in DEPTHS:
        step = 2.0 ** (1 - DEPTHS[subtype])
        expected = np.rint(expected / step) * step
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("subtype", DEPTHS)
def test_samples_of_the_same_depth_come_back_bit_for_bit(subtype):
    # 24 bits are all that float32 holds.
    bits = min(DEPTHS[subtype], 24)
    steps = np.random.default_rng(1).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2, 5000))
    block = (steps / 2 ** (bits - 1)).astype(np.float32)
    decoded, _ = soundfile.read(io.BytesIO(file_of(block, subtype)), dtype="float64")
    np.testing.assert_array_equal(decoded.T, steps / 2 ** (bits - 1))


@pytest.mark.parametrize("subtype", DEPTHS)
def test_integers_clip_and_never_wrap(subtype):
    block = np.array([[1.0, 1.5, 100.0, -1.0, -1.5, -100.0]], np.float32)
    decoded, _ = soundfile.read(io.BytesIO(file_of(block, subtype)), dtype="float64")
    # float32 has no number between 1 - 2**-24 and 1
    top = 1 - max(2.0 ** (1 - DEPTHS[subtype]), 2.0**-24)
    np.testing.assert_array_equal(decoded, [top, top, top, -1, -1, -1])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_keep_what_is_beyond_full_scale(subtype):
    block = np.array([[1.5, -2.5, 1e-30]], np.float32)
    decoded, _ = soundfile.read(io.BytesIO(file_of(block, subtype)), dtype="float32")
    np.testing.assert_array_equal(decoded, block[0])


@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
def test_sizes_past_4_gib_are_in_the_ds64_chunk(subtype):
    frames = 2**33 // (2 * SAMPLE_BYTES[subtype]) + 3
    header = wav_header(48_000, 2, subtype, frames)
    assert len(header) == len(wav_header(48_000, 2, subtype, 0))
    assert header[:4] == b"RF64"
    assert header[12:16] == b"ds64"
    riff_bytes, data_bytes, samples = struct.unpack_from("<QQQ", header, 20)
    assert data_bytes == frames * 2 * SAMPLE_BYTES[subtype]
    assert riff_bytes == len(header) - 8 + data_bytes
    assert samples == frames
    assert header[-8:] == b"data" + b"\xff" * 4


def test_riff_size_counts_the_padding_byte():
    data = file_of(noise(1, 3), "PCM_24")
    assert len(data) % 2 == 0
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("PCM_U8", "PCM_16"),
        ("PCM_16", "PCM_16"),
        ("PCM_24", "PCM_24"),
        ("PCM_32", "PCM_32"),
        ("ALAC_20", "PCM_24"),
        ("FLOAT", "FLOAT"),
        ("DOUBLE", "DOUBLE"),
        ("VORBIS", "FLOAT"),
        ("MPEG_LAYER_III", "FLOAT"),
    ],
)
def test_subtype_keeps_what_the_source_holds(source, kept):
    assert kept_subtype(source) == kept
