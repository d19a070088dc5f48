"""Reading what only FFmpeg reads: alignment, lengths, and what happens without PyAV."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stemsplit.audio import AudioReader
from stemsplit.decode_av import _Source
from stemsplit.errors import AudioError, MissingExtraError

SAMPLES = 44_100 + 123


def tone(rate=44_100, channels=2):
    """Make a sweep, whose every delay shows: float32 (channels, samples)."""
    t = np.arange(SAMPLES) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 * t + 1500 * t**2))
    return np.stack([sweep * (1 - 0.3 * n) for n in range(channels)]).astype(np.float32)


def encode(path: Path, codec: str, audio, *, rate=44_100, streams=1, metadata=None, **options):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(audio)]
    with av.open(str(path), "w", **options) as container:
        container.metadata.update(metadata or {})
        outputs = [container.add_stream(codec, rate=rate, layout=layout) for _ in range(streams)]
        for index, stream in enumerate(outputs):
            if codec in ("aac", "wmav2", "libopus", "ac3"):
                stream.bit_rate = 256_000
            for start in range(0, audio.shape[1], 5000):
                block = np.ascontiguousarray(audio[:, start : start + 5000]) / (index + 1)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate = rate
                frame.pts = start
                resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
                for part in resampler.resample(frame):
                    container.mux(stream.encode(part))
            container.mux(stream.encode(None))


def read_all(path, size=4096):
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(size)), axis=1)


@pytest.mark.parametrize(
    ("name", "codec", "subtype", "step"),
    [
        ("a.m4a", "alac", "PCM_24", 2**-23),  # whole numbers of 24 bits, in 32
        ("a.mkv", "flac", "PCM_16", 2**-15),
        ("a.mov", "pcm_s16le", "PCM_16", 2**-15),
        ("a.mka", "pcm_f32le", "FLOAT", 0),
    ],
)
def test_lossless_codecs_give_every_sample(tmp_path, name, codec, subtype, step):
    audio = tone()
    encode(tmp_path / name, codec, audio)
    with AudioReader(tmp_path / name) as reader:
        assert (reader.sample_rate, reader.channels, reader.subtype) == (44_100, 2, subtype)
    got = read_all(tmp_path / name)
    assert got.shape == audio.shape
    assert got.dtype == np.float32
    assert np.abs(got - audio).max() <= step


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.m4a", "aac", 44_100),
        ("a.mp4", "aac", 48_000),
        ("a.m4a", "aac", 8_000),
        ("a.webm", "libopus", 48_000),
    ],
)
def test_lossy_codecs_are_aligned_and_as_long(tmp_path, name, codec, rate):
    audio = tone(rate)
    # The length in samples; by default FFmpeg states whole milliseconds.
    options = {"movie_timescale": str(rate)} if codec == "aac" else {}
    encode(tmp_path / name, codec, audio, rate=rate, options=options)
    got = read_all(tmp_path / name)
    assert got.shape == audio.shape
    middle = slice(rate // 8, rate // 4)
    lags = [
        np.abs(np.roll(got[0], shift)[middle] - audio[0][middle]).mean() for shift in (-1, 0, 1)
    ]
    assert lags.index(min(lags)) == 1


@pytest.mark.parametrize("name", ["a.wma", "a.aac", "a.mkv", "a.mpg"])
def test_containers_that_state_no_length_lose_nothing(tmp_path, name):
    codec = {".wma": "wmav2", ".mpg": "ac3"}.get(Path(name).suffix, "aac")
    encode(tmp_path / name, codec, tone())
    # A frame is lost or padded at either end, 2048 samples in WMA, as the encoder and FFmpeg
    # leave it.
    assert abs(read_all(tmp_path / name).shape[1] - SAMPLES) <= 2 * 2048


def test_tags_in_another_encoding(tmp_path):
    path = tmp_path / "a.mka"
    encode(path, "flac", tone(), metadata={"title": "Caf?"})
    plain = read_all(path)
    data = path.read_bytes()
    assert data.count(b"Caf?") == 1
    path.write_bytes(data.replace(b"Caf?", "Café".encode("latin-1")))
    np.testing.assert_array_equal(read_all(path), plain)


def test_mono_and_surround(tmp_path):
    for channels in (1, 6):
        encode(tmp_path / "a.m4a", "aac", tone(channels=channels))
        assert read_all(tmp_path / "a.m4a").shape[0] == channels


@pytest.mark.parametrize("size", [1000, 44_100, 10**6])
def test_any_block_size(tmp_path, size):
    encode(tmp_path / "a.m4a", "aac", tone())
    np.testing.assert_array_equal(read_all(tmp_path / "a.m4a", size), read_all(tmp_path / "a.m4a"))


def test_the_first_stream_of_a_stem_file_is_the_mixture(tmp_path):
    encode(tmp_path / "a.stem.mp4", "aac", tone(), streams=5)
    encode(tmp_path / "one.mp4", "aac", tone())
    several, one = read_all(tmp_path / "a.stem.mp4"), read_all(tmp_path / "one.mp4")
    assert np.abs(several[:, :40_000] - one[:, :40_000]).max() < 1e-6


def test_a_video_without_sound(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"cannot read .*a.mp4 as audio: got no audio stream"):
        AudioReader(tmp_path / "a.mp4")


def test_a_playlist_opens_no_other_file(tmp_path):
    encode(tmp_path / "a.aac", "aac", tone())
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.aac\n#EXT-X-ENDLIST\n"
    for name in ("list.m3u8", "list.mp4"):
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="cannot read"):
            AudioReader(tmp_path / name)


def test_damage_gives_one_error_or_the_rest(tmp_path):
    encode(tmp_path / "a.m4a", "aac", tone())
    whole = (tmp_path / "a.m4a").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 20):
            data[place] = rng.integers(0, 256)
        (tmp_path / "b.m4a").write_bytes(data[: rng.integers(1, len(data))])
        with contextlib.suppress(AudioError):
            # A length that a damaged table makes up must not cost time and memory.
            assert read_all(tmp_path / "b.m4a").shape[1] < 4 * SAMPLES


@pytest.fixture
def without_av(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.usefixtures("without_av")
def test_without_pyav_the_remedy_is_one_line(tmp_path):
    (tmp_path / "song.m4a").write_bytes(b"anything")
    with pytest.raises(MissingExtraError) as caught:
        AudioReader(tmp_path / "song.m4a")
    assert str(caught.value).endswith(
        'got no PyAV, wanted PyAV, which reads this format; pip install "av>=13"'
    )
    assert caught.value.exit_code == 69


@pytest.mark.usefixtures("without_av")
def test_without_pyav_libsndfile_reads_what_it_reads(tmp_path):
    soundfile.write(tmp_path / "song.m4a", tone().T, 44_100, format="WAV")
    assert read_all(tmp_path / "song.m4a").shape == (2, SAMPLES)
    (tmp_path / "song.wav").write_text("text")
    with pytest.raises(AudioError, match=r'pip install "av>=13"'):
        AudioReader(tmp_path / "song.wav")


def test_more_channels_than_ffmpeg_has_planes(tmp_path):
    samples = np.random.default_rng(0).integers(-9999, 9999, (1000, 16)).astype(np.int16)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44_100, layout="hexadecagonal")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "hexadecagonal")
        frame.sample_rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(read_all(tmp_path / "a.mkv"), samples.T / np.float32(2**15))


class BadSector:
    """A file of which what comes after some place cannot be read."""

    def __init__(self, file):
        self.seek, self.tell, self.close, self._file = file.seek, file.tell, file.close, file

    def read(self, size):
        if self.tell() > 9000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._file.read(min(size, 3000))


def test_a_file_that_cannot_be_read_to_its_end(tmp_path, monkeypatch, capfd):
    encode(tmp_path / "a.m4a", "alac", tone(), options={"movflags": "+faststart"})
    opened = _Source.__init__

    def init(source, path):
        opened(source, path)
        source._file = BadSector(source._file)

    monkeypatch.setattr(_Source, "__init__", init)
    with pytest.raises(AudioError, match=r"damaged audio in .*a.m4a: got Input/output error"):
        read_all(tmp_path / "a.m4a")
    assert capfd.readouterr().err == ""  # where PyAV would print a traceback of its own
