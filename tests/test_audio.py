"""Reading audio files, against libsndfile's own one-shot reading."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import soundfile

from stemsplit.audio import AudioReader
from stemsplit.errors import AudioError, InputError

FORMATS = {
    "song.wav": "PCM_16",
    "song.aiff": "PCM_24",
    "song.flac": "PCM_24",
    "song.ogg": "VORBIS",
    "song.mp3": "MPEG_LAYER_III",
    "song.caf": "ALAC_16",
    "float.wav": "FLOAT",
    "eight.wav": "PCM_U8",
    "double.wav": "DOUBLE",
    "law.au": "ULAW",
    "song.w64": "PCM_32",
    "song.rf64": "PCM_16",
}


def read_all(path, size=4096):
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(size)), axis=1)


@pytest.mark.parametrize(("name", "subtype"), FORMATS.items())
def test_blocks_join_to_the_whole_file(write_song, name, subtype):
    path = write_song(name, 1.0, subtype=subtype)
    whole, rate = soundfile.read(path, dtype="float32", always_2d=True)
    with AudioReader(path) as reader:
        assert (reader.sample_rate, reader.channels, reader.subtype) == (rate, 2, subtype)
        assert reader.frames == len(whole)
        blocks = list(reader.blocks(3000))
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    assert all(block.shape == (2, 3000) for block in blocks[:-1])
    assert 0 < blocks[-1].shape[1] <= 3000
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole.T)


def test_opus(write_song):
    path = write_song("song.opus", 1.0, sample_rate=48_000, subtype="OPUS")
    assert read_all(path).shape == (2, 48_000)


@pytest.mark.parametrize("rate", [8_000, 11_025, 96_000, 192_000, 768_000])
def test_sample_rates(write_song, rate):
    with AudioReader(write_song(seconds=0.1, sample_rate=rate)) as reader:
        assert reader.sample_rate == rate
        assert sum(block.shape[1] for block in reader.blocks(5000)) == rate // 10


@pytest.mark.parametrize("size", [1, 5000, 44_100, 10**6])
def test_any_block_size(write_song, size):
    path = write_song(seconds=0.2 if size == 1 else 1.0)
    np.testing.assert_array_equal(read_all(path, size), soundfile.read(path, dtype="float32")[0].T)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_all_channels_are_kept(write_song, channels):
    assert read_all(write_song(seconds=0.1, channels=channels)).shape == (channels, 4410)


def test_a_flac_that_does_not_state_its_length(write_song):
    path = write_song("song.flac")
    data = bytearray(path.read_bytes())
    # In STREAMINFO the length is the 36 bits before the MD5.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with AudioReader(path) as reader:
        assert reader.frames is None
        assert sum(block.shape[1] for block in reader.blocks(10_000)) == 88_200


@pytest.mark.parametrize("claim", [0, 1000, 0xFFFFFFFF])
def test_what_is_there_counts_not_what_the_header_claims(write_song, claim):
    path = write_song(seconds=0.5)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.find(b"data") + 4, claim)
    path.write_bytes(data)
    if claim == 0:
        with pytest.raises(AudioError, match=r"no audio .* got zero samples, wanted at least one"):
            AudioReader(path)
    else:
        assert read_all(path).shape == (2, min(claim // 4, 22_050))


def test_a_wav_file_cut_short_gives_what_is_left(write_song):
    path = write_song()
    path.write_bytes(path.read_bytes()[: 44 + 4 * 1000])
    assert read_all(path).shape == (2, 1000)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*nothing.wav"):
        AudioReader(tmp_path / "nothing.wav")


def test_folder(tmp_path):
    with pytest.raises(InputError, match="is a folder: wanted an audio file"):
        AudioReader(tmp_path)


def test_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match="is not a regular file"):
        AudioReader(tmp_path / "pipe.wav")


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav"])
def test_impossible_names(name):
    with pytest.raises(InputError):
        AudioReader(name)


@pytest.mark.parametrize("name", ["text.wav", "text.txt", "text.mp3", "text.raw"])
def test_not_audio(tmp_path, name):
    (tmp_path / name).write_text("not audio at all\n" * 100)
    with pytest.raises(AudioError, match=r"cannot read .* as audio: got .*, wanted a file libsndf"):
        AudioReader(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        AudioError, match=r"no audio in .*: got an empty file, wanted a file libsnd"
    ):
        AudioReader(tmp_path / name)


def test_zero_samples(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), 44_100)
    with pytest.raises(AudioError, match=r"no audio in .*: got zero samples"):
        AudioReader(tmp_path / "empty.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 30_000])
def test_samples_that_are_no_numbers(tmp_path, bad, where):
    signal = np.zeros(40_000, np.float32)
    signal[where] = bad
    soundfile.write(tmp_path / "nan.wav", signal, 44_100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"bad samples in .*: got NaN or infinity"):
        read_all(tmp_path / "nan.wav")


def test_samples_beyond_any_level(tmp_path):
    """Their powers would overflow; floats that hold 32-bit integers, which some write, are fine."""
    for level, good in ((2.0**31, True), (1e11, False), (1e38, False)):
        soundfile.write(tmp_path / "a.wav", np.full(9000, level), 44_100, subtype="FLOAT")
        if good:
            assert read_all(tmp_path / "a.wav").max() == level
        else:
            with pytest.raises(AudioError, match=r"bad samples in .*: got a peak of .* full scale"):
                read_all(tmp_path / "a.wav")


def test_damage_in_the_middle(write_song):
    path = write_song("song.flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"damaged audio in .*; re-export or re-download"):
        read_all(path)


@pytest.mark.parametrize("rate", [999, 768_001])
def test_absurd_sample_rates(tmp_path, rate):
    soundfile.write(tmp_path / "odd.wav", np.zeros(100), rate)
    with pytest.raises(AudioError, match=f"bad sample rate in .*: got {rate} Hz, wanted 1000 to"):
        AudioReader(tmp_path / "odd.wav")


def test_names_that_are_not_unicode(write_song, tmp_path):
    path = write_song("song.wav", 0.1).rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    assert read_all(path).shape == (2, 4410)


def test_block_size_is_checked(write_song):
    with AudioReader(write_song()) as reader, pytest.raises(ValueError, match="bad block size"):
        next(reader.blocks(0))
