"""Separation in memory: shapes, rates, segments, joints, null tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from conftest import SongWriter, StemMaker
from stemsplit import dsp
from stemsplit.config import SOURCES, StftSettings
from stemsplit.errors import AudioError, DeviceError, ModelError, UsageError
from stemsplit.masks import full_band_masks
from stemsplit.pipeline import working_settings
from stemsplit.separate import Progress, Separator
from stemsplit.song import separate_file

# Masks of float32 probabilities, whose rounding differs by the frames predicted at a time, and a
# float32 transform of peaks below 1: some 1e-7, as measured; a seam would be 1e-3 and more.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator("paper", "cpu")


@pytest.fixture(scope="module")
def mixture(make_stems: StemMaker) -> np.ndarray:
    return np.sum(list(make_stems(2.5).values()), axis=0)


def peak_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(one[source] - other[source]).max()) for source in SOURCES)


def test_stems_have_the_mixtures_shape(separator: Separator, mixture: np.ndarray) -> None:
    result = separator.separate(mixture, 44100)
    assert tuple(result.stems) == SOURCES
    assert result.sample_rate == 44100
    for stem in result.stems.values():
        assert stem.shape == mixture.shape
        assert stem.dtype == np.float32
        assert np.isfinite(stem).all()


@pytest.mark.parametrize("segment", [0.3, 0.9])
def test_the_segments_length_does_not_show(
    separator: Separator, mixture: np.ndarray, segment: float
) -> None:
    whole = separator.separate(mixture, 44100, soft=True, segment_seconds=60)
    parts = separator.separate(mixture, 44100, soft=True, segment_seconds=segment)
    assert peak_difference(whole.stems, parts.stems) < ROUNDING


def test_segments_equal_the_transform_of_the_whole_song(
    separator: Separator, mixture: np.ndarray
) -> None:
    """The stream against its definition: one STFT, all masks, one inverse."""
    prediction = separator.predict(mixture, 44100)
    assert prediction.probabilities.shape[:2] == (4, 1)
    masks = full_band_masks(prediction.probabilities, prediction.settings.bins, soft=True)
    wanted = dsp.apply_masks_istft(prediction.spec, masks, 2048, 512, length=mixture.shape[1])
    got = separator.separate(mixture, 44100, soft=True, segment_seconds=0.7).stems
    assert peak_difference(dict(zip(SOURCES, wanted, strict=True)), got) < ROUNDING


def test_stems_and_residual_null_against_the_mixture(
    separator: Separator, mixture: np.ndarray
) -> None:
    result = separator.separate(mixture, 44100, segment_seconds=1.1)
    total = np.sum([*result.stems.values(), result.residual], axis=0, dtype=np.float64)
    assert np.abs(total - mixture).max() < 2**-23  # one rounding of the residual to float32


def test_the_residual_is_what_the_masks_left(separator: Separator, mixture: np.ndarray) -> None:
    """The same residual by another way: the inverse of one minus the sum of the masks."""
    prediction = separator.predict(mixture, 44100)
    masks = full_band_masks(prediction.probabilities, prediction.settings.bins, soft=True)
    left = 1 - masks.sum(axis=0, keepdims=True)
    (wanted,) = dsp.apply_masks_istft(prediction.spec, left, 2048, 512, length=mixture.shape[1])
    result = separator.separate(mixture, 44100, soft=True, segment_seconds=1.1)
    assert np.abs(result.residual - wanted).max() < ROUNDING


def test_nothing_above_the_networks_limit_is_lost(separator: Separator) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 44100)).astype(np.float32)
    window = np.hanning(44100)
    for soft in (True, False):
        total = sum(separator.separate(noise, 44100, soft=soft).stems.values())
        difference = np.abs(np.fft.rfft(window * (total[0] - noise[0])))
        # 11.5 kHz and up: past the limit by more than the window's main lobe; -60 dB.
        assert difference[11_500:].max() < 1e-3 * np.abs(np.fft.rfft(window * noise[0])).max()


@pytest.mark.parametrize("sample_rate", [8000, 22050, 32000, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_rate_and_channel_count(
    separator: Separator, make_stems: StemMaker, sample_rate: int, channels: int
) -> None:
    stems = make_stems(0.4, sample_rate=sample_rate, channels=channels)
    mixture = np.sum(list(stems.values()), axis=0)
    result = separator.separate(mixture, sample_rate, soft=True)
    assert result.stems["vocals"].shape == mixture.shape


def test_resampled_stems_are_aligned(separator: Separator) -> None:
    """At 48 kHz the stems still line up with the mixture: their sum peaks at lag zero."""
    noise = np.random.default_rng(1).standard_normal((1, 24000)).astype(np.float32) * 0.1
    total = sum(separator.separate(noise, 48000, soft=True).stems.values())
    lags = np.correlate(total[0], noise[0, 100:-100], mode="valid")
    assert lags.argmax() == 100


@pytest.mark.parametrize("samples", [1, 2, 511, 1024, 1025, 2049])
def test_very_short_songs(separator: Separator, samples: int) -> None:
    audio = 0.1 * np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)
    for stem in separator.separate(audio, 44100).stems.values():
        assert stem.shape == audio.shape
        assert np.isfinite(stem).all()


def test_silence_gives_silence(separator: Separator) -> None:
    result = separator.separate(np.zeros((2, 5000), np.float32), 44100)
    assert not any(stem.any() for stem in result.stems.values())


def test_a_mono_song_and_its_double_agree(separator: Separator, mixture: np.ndarray) -> None:
    mono = separator.separate(mixture[:1], 44100, soft=True).stems
    double = separator.separate(np.repeat(mixture[:1], 2, axis=0), 44100, soft=True).stems
    for source in SOURCES:
        assert np.abs(double[source] - mono[source]).max() < ROUNDING


def test_half_precision_moves_the_stems_little(separator: Separator, mixture: np.ndarray) -> None:
    """Soft stems in bfloat16, whose 8 bits make masks uncertain by some thousandths."""
    half = Separator("paper", "cpu", precision="half").separate(mixture, 44100, soft=True).stems
    full = separator.separate(mixture, 44100, soft=True).stems
    for source in SOURCES:
        error = np.linalg.norm(half[source] - full[source])
        assert 0 < error < 0.05 * np.linalg.norm(mixture)
    with pytest.raises(UsageError, match="precision"):
        Separator("paper", "cpu", precision="double")


def test_progress_reaches_the_end(separator: Separator, mixture: np.ndarray) -> None:
    seen: list[Progress] = []
    separator.separate(mixture, 44100, on_progress=seen.append)
    assert seen[-1] == Progress(mixture.shape[1], mixture.shape[1])
    assert [p.done_samples for p in seen] == sorted(p.done_samples for p in seen)


def test_a_file_and_its_array_give_the_same(
    separator: Separator, write_song: SongWriter, tmp_path: Path
) -> None:
    import soundfile

    song = write_song("song.wav", 3.0, subtype="FLOAT")
    audio, rate = soundfile.read(song, dtype="float32", always_2d=True)
    result = separate_file(song, tmp_path / "out", separator=separator, segment_seconds=1.0)
    assert result.samples == len(audio)
    assert (result.sample_rate, result.channels, result.device) == (44100, 2, "cpu")
    in_memory = separator.separate(np.ascontiguousarray(audio.T), rate, segment_seconds=1.0)
    for source, path in result.stems.items():
        stem, stem_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert stem_rate == rate
        np.testing.assert_array_equal(stem.T, in_memory.stems[source])
    assert {"decode", "STFT", "network", "masks + iSTFT", "encode"} <= set(result.timings)


def test_working_rate_keeps_the_grid_and_the_band() -> None:
    model = StftSettings(44100, 2048, 512)
    assert working_settings(model, 44100) == model
    assert working_settings(model, 8000) == model
    assert working_settings(model, 48000) == StftSettings(88200, 4096, 1024)
    assert working_settings(model, 192000) == StftSettings(352800, 16384, 4096)


@pytest.mark.parametrize(
    ("audio", "got"),
    [
        (np.zeros(5, np.float32), "shape"),
        (np.zeros((1, 5), np.int16), "int16"),
        (np.zeros((2, 0), np.float32), "shape"),
        (np.full((1, 5), np.nan, np.float32), "NaN"),
        (np.full((1, 5), 1e30, np.float32), "a peak of 1e\\+30"),
    ],
)
def test_bad_audio_is_refused(separator: Separator, audio: np.ndarray, got: str) -> None:
    with pytest.raises(AudioError, match=got):
        separator.separate(audio, 44100)


def test_bad_blocks_are_refused(separator: Separator) -> None:
    with pytest.raises(AudioError, match=r"too many channels.*give audio\.T"):
        separator.separate(np.zeros((44_100, 2), np.float32), 44_100)
    with pytest.raises(AudioError, match="no audio"):
        list(separator.separate_blocks(iter([]), 44100, 2))
    blocks = [np.zeros((2, 500), np.float32), np.full((2, 500), np.nan, np.float32)]
    with pytest.raises(AudioError, match="NaN or infinity"):
        list(separator.separate_blocks(iter(blocks), 44100, 2))


@pytest.mark.parametrize(
    ("variable", "value"), [("STEMSPLIT_KERNEL", "avx"), ("STEMSPLIT_NUM_THREADS", "many")]
)
def test_bad_variables_are_found_out_first(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"got '{value}', wanted"):
        Separator("paper", "cpu")


def test_bad_segment_model_and_device_are_refused(
    separator: Separator, mixture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds in (0, math.inf, math.nan):
        with pytest.raises(UsageError, match="segment"):
            separator.separate(mixture, 44100, segment_seconds=seconds)
    for rate in (0, -1, 44100.0):
        with pytest.raises(AudioError, match="bad sample rate"):
            separator.separate(mixture, rate)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="unknown model"):
        Separator("nonsense")
    for threads in (0, 257):
        with pytest.raises(UsageError, match=f"threads: got {threads}, wanted 1 to 256"):
            Separator("paper", "cpu", threads=threads)
    with pytest.raises(UsageError, match="bad device"):
        Separator("paper", "tpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cpu"):
        Separator("paper", "cuda")
    with pytest.raises(AudioError, match="48000 Hz"):
        separator.predict(mixture, 48000)
