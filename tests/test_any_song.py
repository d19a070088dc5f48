"""The default model on songs of every length, level, rate and shape, from file to files."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit.cli.app import run as command
from stemsplit.outputs import OutputOptions
from stemsplit.separate import Separator
from stemsplit.song import separate_file

N_FFT = 2048
# float32 transforms of a song below full scale, summed over four stems: -120 dB.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def separator():
    return Separator("base", "cpu", threads=1)


def null(separator, mixture, rate=44_100):
    """Separate; the stems must be finite and add up to the mixture. Give the largest error."""
    stems = separator.separate(mixture, rate).stems
    for stem in stems.values():
        assert stem.shape == mixture.shape
        assert np.isfinite(stem).all()
    return np.abs(sum(stems.values()) - mixture).max()


@pytest.mark.parametrize(
    "lengths",
    [range(1, 6), range(N_FFT // 2 - 2, N_FFT // 2 + 3), range(N_FFT - 1, N_FFT + 2)],
    ids=lambda lengths: f"{lengths[0]}-{lengths[-1]}",
)
def test_short_songs(separator, lengths):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, N_FFT + 2)).astype(np.float32)
    for samples in lengths:
        assert null(separator, noise[:, :samples]) <= 2 * ROUNDING


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(5000),
        np.ones(5000),
        np.sign(np.sin(np.arange(5000) / 7)),
        np.full(5000, 1e-42),
        np.eye(1, 5000, 2500)[0],
        1e-30 * np.random.default_rng(0).standard_normal(5000),
    ],
    ids=["silence", "DC", "square", "denormals", "click", "faint"],
)
def test_odd_signals(separator, signal, rate):
    mixture = np.stack([signal, -signal]).astype(np.float32)
    assert null(separator, mixture, rate) <= 4 * ROUNDING
    if not signal.any():
        assert not any(stem.any() for stem in separator.separate(mixture, rate).stems.values())


def test_a_song_at_an_absurd_level(separator):
    """As loud as is read: nothing overflows on the way."""
    mixture = 1e10 * np.random.default_rng(0).uniform(-1, 1, (2, 9000)).astype(np.float32)
    assert null(separator, mixture) <= 1e10 * 4 * ROUNDING


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16])
def test_one_to_sixteen_channels(separator, channels):
    mixture = 0.5 * np.random.default_rng(channels).standard_normal((channels, 3000))
    assert null(separator, mixture.astype(np.float32)) <= 4 * ROUNDING


RATES = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 48_000, 64_000, 88_200]
RATES += [96_000, 176_400, 192_000, 352_800, 384_000, 705_600, 768_000, 1_000, 44_099, 8_001]


@pytest.mark.parametrize("rate", RATES)
def test_eight_to_768_khz(separator, rate):
    mixture = 0.2 * np.random.default_rng(rate).standard_normal((1, 2500))
    assert null(separator, mixture.astype(np.float32), rate) <= 4 * ROUNDING


@settings(max_examples=12)
@given(
    samples=st.integers(1, 6000),
    channels=st.integers(1, 5),
    rate=st.sampled_from([8_000, 22_050, 44_100, 48_000, 96_000]),
    subtype=st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]),
    level=st.sampled_from([0.0, 1e-40, 0.01, 1.0]),
    hard=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_song_from_file_to_files(
    separator, tmp_path_factory, samples, channels, rate, subtype, level, hard, seed
):
    """Length, channels, rate, depth are kept; all is finite, adds up, and is made again alike."""
    folder = tmp_path_factory.mktemp("song")
    mixture = level * np.random.default_rng(seed).uniform(-1, 1, (samples, channels))
    soundfile.write(folder / "song.wav", mixture, rate, subtype=subtype)
    mixture = soundfile.read(folder / "song.wav", always_2d=True)[0]
    one, two = (
        separate_file(folder / "song.wav", folder / name, separator=separator, soft=not hard)
        for name in "ab"
    )
    total = np.zeros_like(mixture)
    for name, path in one.stems.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (rate, channels, subtype)
        stem = soundfile.read(path, always_2d=True)[0]
        assert stem.shape == mixture.shape
        assert np.isfinite(stem).all()
        total += stem
        assert path.read_bytes() == two.stems[name].read_bytes()
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype]
    gain = 10 ** (one.gain_db / 20)
    # Half a step of rounding for each file; a gain may leave full scale one step beyond the top.
    assert np.abs(total - gain * mixture).max() <= 3 * step + 4 * ROUNDING


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff"])
def test_a_header_of_a_day_on_a_second(separator, write_song, tmp_path, kind):
    """Gigabytes that are claimed and not there: said, and no memory for more."""
    song = write_song(f"song.{kind}", 1.0, sample_rate=8_000)
    day = 24 * 3600 * 8_000
    data = bytearray(song.read_bytes())
    if kind == "wav":
        struct.pack_into("<I", data, data.find(b"data") + 4, 4 * day)
    elif kind == "rf64":
        struct.pack_into("<QQQ", data, data.find(b"ds64") + 8, 4 * day + 36, 4 * day, day)
    elif kind == "w64":
        struct.pack_into("<Q", data, data.find(b"data\xf3\xac\xd3\x11") + 16, 4 * day + 24)
    else:
        struct.pack_into(">I", data, data.find(b"COMM") + 10, day)
        struct.pack_into(">I", data, data.find(b"SSND") + 4, 4 * day + 8)
    song.write_bytes(data)
    options = OutputOptions(stems=("vocals",))
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match=r"says: \d+ bytes at its end are missing"):
            result = separate_file(song, tmp_path / "out", separator=separator, options=options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.samples == 8_000
    assert peak < 200e6  # a second takes some 60 MB; a day of this song would be 5.5 GB


NAMES = [
    "two\nlines.wav",
    "\u266b \U0001f941.wav",
    "-rf.wav",
    "--help.wav",
    "x" * 251 + ".wav",
    "\u00e9" * 125 + ".wav",
    os.fsdecode(b"caf\xe9\xff.wav"),
    " .wav",
    "a'b\"c$(d);e|f&g*?[h].wav",
    "[bold]x.wav",
    "{stem}.wav",
    "con.wav",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name(write_song, tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    write_song("song.wav", 0.05).rename(tmp_path / name)
    assert command(["-o", "out", "--no-config", "--json", "--log", "log", "--", name]) == 0
    out, err = capfd.readouterr()
    (song,) = json.loads(out)["songs"]
    assert (song["input"], song["status"]) == (name, "done")
    assert err.count("\n") == 1
    assert {os.fsencode(path) for path in song["outputs"].values()} == {
        os.fsencode(path.absolute()) for path in (tmp_path / "out").rglob("*.wav")
    }
    assert command(["-o", "out", "--no-config", "--skip-existing", "-q", "."]) == 0


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "/dev/full", "pipe.wav", "self.wav"])
def test_what_is_no_file(tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    (tmp_path / "self.wav").symlink_to("self.wav")
    assert command([name, "-o", "out", "--no-config"]) == 66
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not (tmp_path / "out").exists()
