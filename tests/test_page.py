"""The page of a song: what it measures and says. How it works in a browser: in_browser."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import re
import tracemalloc

import numpy as np
import pytest
import soundfile
from PIL import Image

from stemsplit.config import SOURCES
from stemsplit.errors import InputError, MissingExtraError
from stemsplit.page import PageFacts, check_page_extra, write_page
from stemsplit.portrait import PIECE_SECONDS, Scale, portrait_of

FACTS = PageFacts("song", {"model": "paper"}, {"network": 1.0})


@pytest.fixture
def portrait(tmp_path):
    """Measure a signal, cut into uneven blocks."""
    with (tmp_path / "audio").open("w+b") as file:

        def portrait(signal, rate):
            cuts = np.cumsum([1, 700, 4096, 10_000])
            blocks = np.split(signal.astype(np.float32), cuts[cuts < signal.shape[1]], axis=1)
            return portrait_of(iter(blocks), len(signal), Scale(rate, signal.shape[1]), file)

        yield portrait


@pytest.fixture
def song(tmp_path, make_stems):
    """Write a song and its stems; give their files."""

    def song(seconds=1.0, rate=44_100, channels=2):
        stems = make_stems(seconds, sample_rate=rate, channels=channels)
        signals = {"mixture": np.sum(list(stems.values()), axis=0), **stems}
        for name, signal in signals.items():
            soundfile.write(tmp_path / f"{name}.wav", signal.T, rate, subtype="FLOAT")
        return {name: tmp_path / f"{name}.wav" for name in signals}

    return song


def page_of(song, path):
    stems = dict(song)
    write_page(path, stems.pop("mixture"), stems, FACTS)
    return path.read_text(encoding="utf-8")


def test_a_sine_lies_where_its_pitch_is(portrait):
    rate, hz, amplitude = 44_100, 1000.0, 0.5
    t = np.arange(2 * rate) / rate
    got = portrait(amplitude * np.sin(2 * np.pi * hz * t)[None], rate)
    rows = got.power.shape[1]
    loudest = got.power.mean(axis=0).argmax()
    # Within the width of a bin of 21.5 Hz, and of the Hann window's main lobe of two.
    lowest, highest = (got.scale.height_of(hz + side * 43) * rows for side in (-1, 1))
    assert lowest - 1 <= loudest <= highest
    assert got.peak == pytest.approx(amplitude, rel=1e-4)  # the nearest sample to the crest
    # Two seconds are whole periods; float32 samples sum up in float64.
    assert got.rms == pytest.approx(amplitude / np.sqrt(2), rel=1e-6)


def test_rows_share_out_each_frequency_once():
    scale = Scale(44_100, 44_100)
    weights = scale.row_weights()
    # Weights are float32, and each row a mean.
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert scale.height_of(40) == 0
    assert scale.height_of(20_000) == 1


def test_energy_follows_time(portrait):
    rate = 8000
    signal = np.zeros((1, 4 * rate))
    signal[:, 2 * rate :] = np.random.default_rng(0).standard_normal((1, 2 * rate))
    energy = portrait(signal, rate).energy
    half = len(energy) // 2
    assert energy[: half - 2].max() == 0
    assert energy[half + 2 :].min() > 0


@pytest.mark.parametrize(
    ("rate", "channels", "heard_rate", "heard_channels"),
    [(44_100, 2, 44_100, 2), (96_000, 1, 48_000, 1), (4_000, 3, 8_000, 1)],
)
def test_pieces_hold_the_whole_song(portrait, rate, channels, heard_rate, heard_channels):
    seconds = PIECE_SECONDS + 0.5
    signal = np.random.default_rng(0).uniform(-0.1, 0.1, (channels, round(seconds * rate)))
    got = portrait(signal, rate)
    pieces = [soundfile.read(io.BytesIO(piece), always_2d=True) for piece in got.pieces()]
    assert [piece.shape for piece, _ in pieces] == [
        (PIECE_SECONDS * heard_rate, heard_channels),
        (0.5 * heard_rate, heard_channels),
    ]
    assert {rate for _, rate in pieces} == {got.play_rate} == {heard_rate}


def test_memory_does_not_grow_with_the_song(tmp_path):
    rate = 8000
    block = np.random.default_rng(0).uniform(-0.1, 0.1, (1, rate)).astype(np.float32)

    def peak(seconds):
        with (tmp_path / "audio").open("w+b") as file:
            tracemalloc.start()
            portrait_of((block for _ in range(seconds)), 1, Scale(rate, seconds * rate), file)
            held = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return held

    # Eight times as long: what may grow is the list of pieces, not samples (1.3 MB of them).
    assert peak(320) < peak(40) + 800_000


@pytest.mark.parametrize("samples", [1, 100])
def test_a_short_song(song, tmp_path, samples):
    files = song(seconds=0.1)
    for file in files.values():
        soundfile.write(file, np.full((samples, 2), 0.1), 44_100)
    page = page_of(files, tmp_path / "song.html")
    assert page.count('class="audio"') == 5


def test_silence(song, tmp_path):
    files = song(seconds=0.2)
    for file in files.values():
        soundfile.write(file, np.zeros((8820, 2)), 44_100)
    page = page_of(files, tmp_path / "song.html")
    assert page.count("−∞ dB") == 10
    assert "nan" not in page.partition('class="audio"')[0].replace("dominant", "")


def test_the_page_needs_nothing_else(song, tmp_path):
    page = page_of(song(), tmp_path / "song.html")
    assert "http" not in page.partition('class="audio"')[0]
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    for name in SOURCES:
        assert f"Spectrogram of {name}" in page
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    sizes = {Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures}
    assert len(pictures) == 5
    assert len(sizes) == 1


def test_names_are_escaped(song, tmp_path):
    files = song(seconds=0.1)
    write_page(
        tmp_path / "song.html",
        files["mixture"],
        {"<script>alert(1)</script>": files["vocals"]},
        PageFacts("</title>", {"<b>": "&"}, {}),
    )
    page = (tmp_path / "song.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("</title>") == 2  # the page's, and the chart's only area


def test_a_name_that_is_no_text(song, tmp_path):
    files = song(seconds=0.1)
    facts = PageFacts(os.fsdecode(b"caf\xe9"), {"song": os.fsdecode(b"caf\xe9.wav")}, {})
    write_page(tmp_path / "song.html", files["mixture"], {"vocals": files["vocals"]}, facts)
    assert "caf" in (tmp_path / "song.html").read_text(encoding="utf-8")


def test_nothing_half_written(song, tmp_path):
    files = song(seconds=0.1)
    files["drums"].unlink()
    (tmp_path / "song.html").write_text("an earlier one")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"drums\.wav"):
        page_of(files, tmp_path / "song.html")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "song.html").read_text() == "an earlier one"


def test_without_its_packages(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "jinja2>=3.1" "pillow>=10"'):
        check_page_extra()
