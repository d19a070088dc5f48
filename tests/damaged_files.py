"""Small real files of every format that is read, and seeded ways to damage them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile

from stemsplit.tags import Tags, copy_tags

RATE = 44_100
SAMPLES = 4_000
"""Of each file, per channel: enough for some frames of every codec."""

_SNDFILE = {
    "pcm16.wav": "PCM_16",
    "pcm24.wav": "PCM_24",
    "eight.wav": "PCM_U8",
    "float.wav": "FLOAT",
    "adpcm.wav": "MS_ADPCM",
    "big.rf64": "PCM_16",
    "song.w64": "PCM_24",
    "song.aiff": "PCM_24",
    "float.aiff": "FLOAT",
    "song.au": "PCM_16",
    "song.caf": "ALAC_16",
    "plain.caf": "PCM_24",
    "song.flac": "PCM_16",
    "deep.flac": "PCM_24",
    "song.ogg": "VORBIS",
    "song.opus": "OPUS",
    "song.mp3": "MPEG_LAYER_III",
}
_AV = {
    "song.m4a": "aac",
    "lossless.m4a": "alac",
    "song.aac": "aac",
    "song.wma": "wmav2",
    "song.mkv": "flac",
    "song.mka": "pcm_s16le",
    "song.webm": "libopus",
    "song.mov": "pcm_s16le",
    "song.mpg": "mp2",
    "dolby.mkv": "ac3",
    "song.wv": "wavpack",
    "song.tta": "tta",
    "song.avi": "libmp3lame",
    "five.stem.mp4": "aac",
}
_LOSSY = {"aac", "wmav2", "libopus", "mp2", "ac3", "libmp3lame"}
NAMES = (*_SNDFILE, *_AV)
"""Names of the files; each ends as files of its format do."""

_TAGGED = ("pcm16.wav", "song.mp3", "song.flac", "song.ogg", "song.aiff", "five.stem.mp4")
# What breaks arithmetic on sizes and counts.
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
_HEAD = 300


@lru_cache(maxsize=1)
def whole_files() -> dict[str, bytes]:
    """Give the bytes of each of `NAMES`, some with tags and a cover."""
    t = np.arange(SAMPLES) / RATE
    rng = np.random.default_rng(0)
    sweep = 0.3 * np.sin(2 * np.pi * (200 * t + 20_000 * t**2))
    audio = np.stack([sweep, 0.5 * sweep]) + 0.02 * rng.standard_normal((2, SAMPLES))
    audio = audio.astype(np.float32)
    files = {}
    with TemporaryDirectory() as folder:
        for name in NAMES:
            path = Path(folder) / name
            if name in _SNDFILE:
                kind = "OGG" if name.endswith("opus") else None
                rate = 48_000 if name.endswith("opus") else RATE
                soundfile.write(path, audio.T, rate, subtype=_SNDFILE[name], format=kind)
            else:
                _encode(path, _AV[name], audio, streams=5 if "stem" in name else 1)
            if name in _TAGGED:
                tags = Tags({"title": ["A song"], "artist": ["Ada"]}, ("image/png", b"png" * 50))
                copy_tags(tags, {"": path}, track="")
            files[name] = path.read_bytes()
    return files


def _encode(path: Path, codec: str, audio: np.ndarray, *, streams: int) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w") as container:
        outputs = [container.add_stream(codec, rate=rate, layout="stereo") for _ in range(streams)]
        for stream in outputs:
            if codec in _LOSSY:
                stream.bit_rate = 128_000
            frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(stream.codec_context.format, "stereo", rate)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))


def damaged(seed: int, index: int) -> tuple[str, bytes]:
    """Give one mutant, its name and bytes.

    The damage is always the same for a seed and an index; the file below it may differ by a serial
    number or a time of day that a library puts in.
    """
    rng = random.Random(f"{seed}-{index}")
    name = NAMES[index % len(NAMES)]
    data = bytearray(whole_files()[name])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_WAYS)(data, rng)
    return name, bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    """Choose a byte: half the time in the first or last few, where headers and tables are."""
    size = max(1, len(data))
    kind = rng.randrange(6)
    if kind < 2:
        return rng.randrange(min(size, _HEAD))
    if kind == 2:
        return size - 1 - rng.randrange(min(size, 4 * _HEAD))
    return rng.randrange(size)


def _flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 4, 16))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _write_extreme(data: bytearray, rng: random.Random) -> None:
    """Put the least, the most or an odd number where a field may be, of either byte order."""
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice((*_EXTREMES, 2**63 - 1, 2**64 - 1, rng.getrandbits(64)))
    value %= 1 << (8 * width)
    start = _place(data, rng)
    data[start : start + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _cut_short(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, start + rng.choice((1, 4, 32, 500, 4000))


def _remove(data: bytearray, rng: random.Random) -> None:
    start, end = _block(data, rng)
    del data[start:end]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start, end = _block(data, rng)
    data[end:end] = data[start:end] * rng.choice((1, 1, 3))


def _overwrite(data: bytearray, rng: random.Random) -> None:
    start, end = _block(data, rng)
    size = len(data[start:end])
    data[start:end] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def _splice(data: bytearray, rng: random.Random) -> None:
    """Go on with another file, of any format, from some place."""
    other = whole_files()[rng.choice(NAMES)]
    data[_place(data, rng) :] = other[rng.randrange(len(other)) :]


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_bits,
    _flip_bits,
    _write_extreme,
    _write_extreme,
    _write_extreme,
    _cut_short,
    _remove,
    _repeat,
    _overwrite,
    _splice,
)
