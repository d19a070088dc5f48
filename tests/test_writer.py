"""Writing a song's files: levels, clipping, formats, and what happens when the disk is full."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import mutagen.mp3
import numpy as np
import pytest
import soundfile

from stemsplit import encode
from stemsplit.errors import AudioError, NoSpaceError, OutputError
from stemsplit.outputs import BITRATES, BITRATES_FROM, Form
from stemsplit.writer import SongWriter, needed_bytes

NAMES = ("vocals", "drums")
# A step of each depth, as a share of full scale: rounding moves a sample by half of it at most,
# and a level that is set by one gain may land one step below full scale.
STEP = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 2**-23}


def noise(*shape, level=0.2):
    return (level * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def write(folder, stems, form, clip="scale"):
    folder.mkdir()
    with SongWriter(folder, NAMES, form, clip) as writer:
        for piece in np.split(stems, [1, 1, 3000], axis=2):
            writer.write(piece)
        return writer.finish()


def read(written):
    return np.stack([soundfile.read(written.files[name], dtype="float32")[0].T for name in NAMES])


def test_aiff_says_where_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "_LIMIT", {"aiff": 10_000})
    with pytest.raises(OutputError, match="AIFF ends at 4 GiB, choose --format wav"):
        write(tmp_path / "a", noise(2, 2, 5000), Form("aiff", "PCM_16", 48_000, 2))
    write(tmp_path / "b", noise(2, 2, 5000), Form("wav", "PCM_16", 48_000, 2))
    encode.check_length(Form("aiff", "PCM_16", 48_000, 2), 2500, "song")
    with pytest.raises(AudioError, match=r"aiff cannot hold the length of song.*--format wav"):
        encode.check_length(Form("aiff", "PCM_16", 48_000, 2), 2501, "song")


def test_vorbis_takes_blocks_of_any_length(tmp_path):
    """In a thread with as little stack as macOS gives; the encoder keeps all of a write on it."""
    script = """
import sys, threading
from pathlib import Path
import numpy as np
from stemsplit.encode import SndfileEncoder
from stemsplit.outputs import Form

def encode():
    encoder = SndfileEncoder(Path(sys.argv[1]), Form("ogg", "VORBIS", 44_100, 2))
    encoder.write(np.zeros((2, 1 << 20), np.float32))
    encoder.close()

threading.stack_size(512 * 1024)
thread = threading.Thread(target=encode)
thread.start()
thread.join()
"""
    path = tmp_path / "a.ogg"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert soundfile.info(path).frames == 1 << 20


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("aiff", "PCM_16"),
        ("aiff", "PCM_24"),
        ("aiff", "FLOAT"),
    ],
)
@pytest.mark.parametrize("clip", ["scale", "keep"])
def test_lossless_formats_hold_the_samples(tmp_path, kind, subtype, clip):
    stems = np.clip(noise(2, 2, 5000), -0.9, 0.9)
    written = write(tmp_path / "a", stems, Form(kind, subtype, 48_000, 2), clip)
    assert (written.gain_db, written.clipped) == (0, {})
    info = soundfile.info(written.files["vocals"])
    assert (info.format, info.subtype, info.samplerate) == (kind.upper(), subtype, 48_000)
    error = np.abs(read(written) - stems).max()
    assert error <= (STEP[subtype] / 2 if subtype.startswith("PCM") else 0)


def test_samples_that_spell_the_name_of_a_chunk_stay(tmp_path):
    """In AIFF the time in the chunk PEAK of floats is cleared, which integers do not have."""
    spelt = np.frombuffer(b"PEAK" + bytes(range(1, 13)), ">i2") / np.float32(2**15)
    stems = np.broadcast_to(spelt, (2, 1, 8)).astype(np.float32)
    form = Form("aiff", "PCM_16", 44_100, 1)
    folder = tmp_path / "a"
    folder.mkdir()
    with SongWriter(folder, NAMES, form, "scale") as writer:
        writer.write(stems)
        written = writer.finish()
    np.testing.assert_array_equal(read(written), stems[:, 0])


@pytest.mark.parametrize(
    ("kind", "subtype", "bitrate"),
    [
        ("ogg", "VORBIS", None),
        ("mp3", "MPEG_LAYER_III", None),
        *(("mp3", "MPEG_LAYER_III", bitrate) for bitrate in BITRATES),
    ],
)
@pytest.mark.parametrize("samples", [1, 100, 4410, 100_000])
def test_lossy_formats_keep_length_and_place(tmp_path, kind, subtype, bitrate, samples):
    t = np.arange(samples) / 44_100
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    stems = np.stack([np.stack([tone, tone])] * 2)
    got = read(write(tmp_path / "a", stems, Form(kind, subtype, 44_100, 2, bitrate)))
    assert got.shape == stems.shape
    # A codec at this rate leaves a sine 40 dB down; a sample of delay would leave 24 dB.
    if samples > 4000:
        assert np.abs(got - stems)[..., 2000:-2000].max(initial=0) < 0.009


@pytest.mark.parametrize("bitrate", BITRATES)
@pytest.mark.parametrize("sample_rate", [48_000, 44_100, BITRATES_FROM])
def test_bit_rates_are_those_asked_for(tmp_path, bitrate, sample_rate):
    form = Form("mp3", "MPEG_LAYER_III", sample_rate, 2, bitrate)
    written = write(tmp_path / "a", noise(2, 2, sample_rate), form)
    facts = mutagen.mp3.MP3(written.files["drums"]).info
    assert facts.bitrate_mode == mutagen.mp3.BitrateMode.CBR
    assert round(facts.bitrate / 1000) == bitrate


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("wav", "FLOAT"),
        ("aiff", "FLOAT"),
        ("flac", "PCM_16"),
        ("ogg", "VORBIS"),
        ("mp3", "MPEG_LAYER_III"),
    ],
)
def test_the_same_samples_give_the_same_bytes(tmp_path, kind, subtype):
    form = Form(kind, subtype, 44_100, 1)
    first = write(tmp_path / "a", noise(2, 1, 5000), form)
    # What libsndfile writes by the clock must not show.
    time.sleep(1.1 if kind in ("aiff", "ogg") else 0)
    second = write(tmp_path / "b", noise(2, 1, 5000), form)
    for name in NAMES:
        assert first.files[name].read_bytes() == second.files[name].read_bytes()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_one_gain_for_all_keeps_the_sum(tmp_path, subtype):
    stems = noise(2, 2, 5000)
    stems[0, 0, 77] = -1.25
    written = write(tmp_path / "a", stems, Form("wav", subtype, 44_100, 2))
    gain = 1 / 1.25
    assert written.gain_db == pytest.approx(20 * math.log10(gain))
    assert written.clipped == {}
    got = read(written)
    assert np.abs(got - gain * stems).max() <= STEP[subtype]
    assert np.abs(got.sum(0) - gain * stems.sum(0)).max() <= 2 * STEP[subtype]


def test_clipping_is_kept_and_counted(tmp_path):
    stems = np.zeros((2, 2, 4), np.float32)
    stems[0] = [[0.5, 1.0, 1.25, 0], [-1.0, -1.5, 0, 0]]
    written = write(tmp_path / "a", stems, Form("wav", "PCM_16", 44_100, 2), "keep")
    assert (written.gain_db, written.clipped) == (0, {"vocals": 2})
    assert read(written)[0].max() == pytest.approx(1, abs=STEP["PCM_16"])


@pytest.mark.parametrize("kind", ["wav", "aiff"])
@pytest.mark.parametrize(("peak", "subtype"), [(0.9, "PCM_16"), (1.5, "FLOAT")])
def test_floats_where_a_stem_would_clip(tmp_path, kind, peak, subtype):
    stems = np.full((2, 1, 4000), peak, np.float32)
    written = write(tmp_path / "a", stems, Form(kind, "PCM_16", 44_100, 1), "float")
    assert written.form.subtype == subtype
    assert soundfile.info(written.files["drums"]).subtype == subtype
    assert np.abs(read(written) - stems[:, 0]).max() < STEP["PCM_16"]


def test_floats_go_beyond_full_scale(tmp_path):
    stems = np.full((2, 1, 4000), 1.5, np.float32)
    written = write(tmp_path / "a", stems, Form("wav", "FLOAT", 44_100, 1))
    assert (written.gain_db, written.clipped) == (0, {})
    np.testing.assert_array_equal(read(written), stems[:, 0])


def test_nothing_but_the_files_is_left(tmp_path):
    written = write(tmp_path / "a", noise(2, 2, 5000), Form("wav", "PCM_16", 44_100, 2))
    assert sorted((tmp_path / "a").iterdir()) == sorted(written.files.values())


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "ogg", "mp3"])
@pytest.mark.parametrize("clip", ["scale", "keep"])
@pytest.mark.parametrize("samples", [5_000, 200_000])  # more than write buffers hold, and less
def test_a_full_disk_is_an_error(tmp_path, kind, clip, samples):
    subtype = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}.get(kind, "PCM_16")
    (tmp_path / "a").mkdir()

    def fill():
        with SongWriter(tmp_path / "a", NAMES, Form(kind, subtype, 44_100, 2), clip) as writer:
            for _ in range(600_000 // samples):
                writer.write(noise(2, 2, samples))
            writer.finish()

    with pytest.raises(NoSpaceError, match=r"cannot write .*: got File too large; free some"):
        fill()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="got No such file or directory"):
        SongWriter(tmp_path / "missing", NAMES, Form("wav", "FLOAT", 44_100, 2), "scale")


def test_shapes_are_checked(tmp_path):
    with SongWriter(tmp_path, NAMES, Form("wav", "FLOAT", 44_100, 2), "scale") as writer:
        for shape in ((3, 2, 5), (2, 1, 5), (2, 5)):
            with pytest.raises(ValueError, match="bad block"):
                writer.write(noise(*shape))


def test_the_space_that_is_needed():
    stereo = Form("wav", "PCM_16", 44_100, 2)
    assert needed_bytes(stereo, 4, "keep", 1000) == 4 * 4000
    # Floats that wait, beside what they become.
    assert needed_bytes(stereo, 4, "scale", 1000) == 4 * (8000 + 4000)
    assert needed_bytes(Form("wav", "FLOAT", 44_100, 2), 4, "scale", 1000) == 4 * 8000
