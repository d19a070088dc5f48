"""Native Instruments' Stems: streams, the box, and what stempeg and others read of it."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import mutagen.mp4
import numpy as np
import pytest

import ffmpeg_stand_in
from stemsplit.audio import AudioReader
from stemsplit.dataset import Track, read_track
from stemsplit.errors import MissingExtraError
from stemsplit.outputs import MIXTURE, NI_STEMS, Form
from stemsplit.stem_mp4 import StemMp4Encoder, check_available
from stemsplit.writer import SongWriter

NAMES = (MIXTURE, *NI_STEMS)


def boxes(data):
    """Give the kinds and contents of the boxes that follow one another in bytes."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        assert 8 <= size <= len(data) - position
        yield kind, data[position + 8 : position + size]
        position += size


def child(data, *path):
    for kind in path:
        (data,) = (content for name, content in boxes(data) if name == kind)
    return data


def write(folder, stems, rate=44_100):
    folder.mkdir()
    form = Form("stem", "AAC", rate, stems.shape[1])
    with SongWriter(folder, NAMES, form, "scale") as writer:
        for piece in np.array_split(stems, 7, axis=2):
            writer.write(piece)
        return writer.finish()


@pytest.fixture
def stems(make_stems):
    made = make_stems(1.3)
    return np.stack([sum(made.values()), *(made[name] for name in NI_STEMS)]).astype(np.float32)


def decoded(path, index):
    with av.open(str(path)) as container:
        stream = container.streams.audio[index]
        blocks = [frame.to_ndarray() for frame in container.decode(stream)]
        return np.concatenate(blocks, axis=1), stream


def test_five_streams_that_are_the_stems(tmp_path, stems):
    written = write(tmp_path / "a", stems)
    (path,) = set(written.files.values())
    assert path.name.endswith(".stem.mp4")
    for index, wanted in enumerate(stems):
        audio, stream = decoded(path, index)
        assert (stream.codec_context.name, stream.sample_rate) == ("aac", 44_100)
        assert stream.duration == stems.shape[2]
        error = audio[:, : stems.shape[2]] - wanted
        # AAC at 320 kbit/s: an error 20 dB below the stem at least; noise is the hardest, 24 dB.
        assert np.linalg.norm(error) < 0.1 * np.linalg.norm(wanted)


def test_only_the_mixture_plays_in_an_ordinary_player(tmp_path, stems):
    path = write(tmp_path / "a", stems).files[MIXTURE]
    moov = child(path.read_bytes(), b"moov")
    tracks = [content for kind, content in boxes(moov) if kind == b"trak"]
    enabled = [struct.unpack(">I", child(trak, b"tkhd")[:4])[0] & 1 for trak in tracks]
    assert enabled == [1, 0, 0, 0, 0]


def test_the_box_is_where_traktor_looks(tmp_path, stems):
    path = write(tmp_path / "a", stems).files[MIXTURE]
    data = path.read_bytes()
    assert [kind for kind, _ in boxes(data)][-1] == b"moov"
    metadata = json.loads(child(data, b"moov", b"udta", b"stem"))
    assert metadata["version"] == 1
    assert [stem["name"] for stem in metadata["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert all(len(stem["color"]) == 7 for stem in metadata["stems"])
    assert not metadata["mastering_dsp"]["compressor"]["enabled"]
    assert not metadata["mastering_dsp"]["limiter"]["enabled"]
    # The keys are those of the example that stempeg ships, as Native Instruments' tool writes it.
    spec = importlib.util.find_spec("stempeg")
    example = json.loads((Path(spec.origin).parent / "data/default_metadata.json").read_text())
    assert metadata.keys() == example.keys()
    for part in ("compressor", "limiter"):
        assert metadata["mastering_dsp"][part].keys() == example["mastering_dsp"][part].keys()


def test_stempeg_reads_it(tmp_path, stems):
    path = write(tmp_path / "a", stems).files[MIXTURE]
    ffmpeg_stand_in.install(tmp_path)
    script = (
        "import sys, json, numpy, stempeg\n"
        "audio, rate = stempeg.read_stems(sys.argv[1], dtype=numpy.float32)\n"
        "numpy.save(sys.argv[2], audio)\n"
        "print(json.dumps([rate, *stempeg.Info(sys.argv[1]).title_streams]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "audio.npy")],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [44_100, *NAMES]
    audio = np.load(tmp_path / "audio.npy")
    assert audio.shape[0] == 5
    for index in range(5):
        np.testing.assert_array_equal(audio[index].T, decoded(path, index)[0])


def test_the_box_outlives_tags(tmp_path, stems):
    path = write(tmp_path / "a", stems).files[MIXTURE]
    tagged = mutagen.mp4.MP4(path)
    tagged["\xa9nam"] = ["Title"]
    tagged.save()
    assert json.loads(child(path.read_bytes(), b"moov", b"udta", b"stem"))["version"] == 1
    assert decoded(path, 4)[0].shape[1] >= stems.shape[2]


def test_it_reads_as_a_musdb_track_and_as_a_song(tmp_path, stems):
    path = write(tmp_path / "a", stems).files[MIXTURE]
    track = read_track(Track("a", path))
    assert track.present == {"vocals", "drums", "bass", "other"}
    with AudioReader(path) as reader:
        mixture = np.concatenate(list(reader.blocks(10_000)), axis=1)
    assert mixture.shape == stems.shape[1:]
    np.testing.assert_array_equal(track.mixture[:, : mixture.shape[1]], mixture)


def test_mono_becomes_two_equal_channels(tmp_path, stems):
    path = write(tmp_path / "a", stems[:, :1]).files[MIXTURE]
    audio, _ = decoded(path, 2)
    assert audio.shape[0] == 2
    # One step of 16 bits, far below what the codec leaves.
    np.testing.assert_allclose(audio[0], audio[1], rtol=0, atol=2**-15)


@pytest.mark.parametrize("rate", [8_000, 48_000, 96_000])
def test_sample_rates(tmp_path, stems, rate):
    path = write(tmp_path / "a", stems, rate).files[MIXTURE]
    assert decoded(path, 3)[1].sample_rate == rate


def test_the_same_samples_give_the_same_bytes(tmp_path, stems):
    one, two = (write(tmp_path / name, stems).files[MIXTURE] for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_one_sample(tmp_path, stems):
    path = write(tmp_path / "a", stems[:, :, :1]).files[MIXTURE]
    assert decoded(path, 0)[1].duration == 1


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_the_systems_error(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20_000)).astype(np.float32)

    def fill():
        encoder = StemMp4Encoder(tmp_path / "a.mp4", Form("stem", "AAC", 44_100, 2), NAMES)
        try:
            for _ in range(20):
                encoder.write_streams([noise] * 5)
            encoder.close()
        finally:
            encoder.abort()

    with pytest.raises(OSError, match=r".*") as caught:
        fill()
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("clip", ["scale", "keep"])
def test_levels(tmp_path, stems, clip):
    loud = 3 * stems  # the mixture's peak is 2 and more
    (tmp_path / "a").mkdir()
    with SongWriter(tmp_path / "a", NAMES, Form("stem", "AAC", 44_100, 2), clip) as writer:
        writer.write(loud)
        gain_db = writer.finish().gain_db
    assert (gain_db < 0) == (clip == "scale")


def test_without_pyav_there_is_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "av>=13"'):
        check_available()
