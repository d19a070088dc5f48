"""Metrics against values worked out by hand and against museval and fast-bss-eval."""

import math
import subprocess
import sys

import fast_bss_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemsplit import bsseval, metrics
from stemsplit.errors import MissingExtraError

RATE = 8000


def _pair(seed, channels=2, samples=20_000):
    """Make a coloured reference and an estimate with a wrong gain, a filter, and noise."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((channels, samples + 8))
    reference = white[:, 8:] + 0.7 * white[:, 7:-1] - 0.2 * white[:, 4:-4]
    estimate = 0.6 * reference + 0.3 * np.roll(reference, 5, axis=1)
    return reference, estimate + 0.5 * rng.standard_normal(reference.shape)


# Masks


def test_accuracy_and_mse_by_hand():
    prediction = np.array([[0.9, 0.2], [0.5, 0.6]], np.float32)
    target = np.array([[True, False], [True, False]])
    assert metrics.mask_accuracy(prediction, target) == 0.5  # 0.5 is not above the cut
    # (0.1² + 0.2² + 0.5² + 0.6²) / 4; the inputs are float32, good to 6e-8.
    assert metrics.mask_mse(prediction, target) == pytest.approx(0.66 / 4, rel=1e-6)


def test_a_perfect_mask():
    target = np.random.default_rng(0).random((4, 1, 9, 7)) > 0.5
    assert metrics.mask_accuracy(target.astype(np.float32), target) == 1
    assert metrics.mask_mse(target.astype(np.float32), target) == 0


def test_masks_without_bins_are_undefined():
    nothing = np.zeros((4, 1, 0, 513), np.float32)
    assert math.isnan(metrics.mask_accuracy(nothing, nothing > 0))
    assert math.isnan(metrics.mask_mse(nothing, nothing > 0))


# SNR, SI-SDR and SDR over an excerpt

RATIOS = [metrics.snr, metrics.si_sdr, metrics.sdr]


def test_snr_by_hand():
    assert metrics.snr(np.array([3.0, 4.0]), np.array([3.0, 3.5])) == pytest.approx(20)
    stereo = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert metrics.snr(stereo, 0.9 * stereo) == pytest.approx(20)


def test_snr_is_museval_s_sdr_of_the_whole_excerpt():
    museval = bsseval._museval_metrics()
    reference, estimate = _pair(1)
    theirs = museval.bss_eval_images(reference.T[None], estimate.T[None], False)[0]
    # Both float64; the decomposition adds and subtracts parts as large as the signal.
    assert metrics.snr(reference, estimate) == pytest.approx(theirs.item(), abs=1e-9)


def test_si_sdr_by_hand():
    reference = np.array([1.0, 0.0, 1.0, 0.0])
    noise = np.array([0.0, 1.0, 0.0, 1.0])
    assert metrics.si_sdr(reference, 5 * reference + 0.5 * noise) == pytest.approx(20)


@pytest.mark.parametrize("seed", range(3))
def test_si_sdr_is_fast_bss_eval_s(seed):
    reference, estimate = _pair(seed)
    theirs = fast_bss_eval.si_sdr(
        reference.reshape(1, -1), estimate.reshape(1, -1), zero_mean=False, clamp_db=200
    )
    assert metrics.si_sdr(reference, estimate) == pytest.approx(theirs.item(), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_sdr_of_one_channel_is_fast_bss_eval_s_and_museval_s(seed):
    reference, estimate = _pair(seed, channels=1)
    fast = fast_bss_eval.sdr(reference, estimate, filter_length=512, clamp_db=200)
    # Our normal equations carry 1e-12 on the diagonal; this reference is well conditioned.
    assert metrics.sdr(reference, estimate) == pytest.approx(fast.item(), abs=1e-8)
    museval = bsseval._museval_metrics()
    images = museval.bss_eval_sources(reference[:, :, None], estimate[:, :, None], False)[0]
    # museval projects onto delays that run past the end of the excerpt, and so do we.
    assert metrics.sdr(reference, estimate) == pytest.approx(images.item(), abs=1e-8)


def test_sdr_of_two_channels_adds_the_channels_energies():
    reference, estimate = _pair(4)
    estimate[1] *= 3
    fast = fast_bss_eval.sdr(reference[:, None], estimate[:, None], 512, clamp_db=200)[:, 0]
    ratio = 10 ** (fast / 10)
    energy = np.sum(estimate**2, axis=1)
    pooled = np.sum(energy * ratio / (1 + ratio)) / np.sum(energy / (1 + ratio))
    assert metrics.sdr(reference, estimate) == pytest.approx(10 * np.log10(pooled), abs=1e-8)


def test_sdr_forgives_a_filter_of_512_taps_and_no_more():
    reference, _ = _pair(5, channels=1)
    reference[:, -600:] = 0
    assert metrics.sdr(reference, np.roll(reference, 511)) > 100
    assert metrics.sdr(reference, np.roll(reference, 512)) < 10


def test_sdr_of_a_reference_that_512_delays_do_not_span():
    tone = np.sin(2 * np.pi * 0.01 * np.arange(8000))
    noise = np.random.default_rng(6).standard_normal(8000) * np.sqrt(0.5) / 10
    # The projection takes at most a few dimensions of 512 + 7999 of the noise: 20 dB ± 1.
    assert metrics.sdr(tone, tone + noise) == pytest.approx(20, abs=1)


@given(gain=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_si_sdr_and_sdr_ignore_a_gain_and_sdr_is_never_below(gain, seed):
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((2, 1500))
    estimate = reference + rng.standard_normal((2, 1500)) * rng.uniform(0.01, 3)
    si_sdr, sdr = metrics.si_sdr(reference, estimate), metrics.sdr(reference, estimate)
    # float64: 1e-16 of the energy against at least 1e-4 of it in the distortion.
    assert metrics.si_sdr(reference, gain * estimate) == pytest.approx(si_sdr, abs=1e-9)
    assert metrics.sdr(reference, gain * estimate) == pytest.approx(sdr, abs=1e-7)
    assert sdr > si_sdr - 1e-7


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_silent_reference_is_undefined(ratio):
    assert math.isnan(ratio(np.zeros((2, 900)), np.ones((2, 900))))
    assert math.isnan(ratio(np.zeros((2, 900)), np.zeros((2, 900))))


def test_a_silent_estimate():
    reference, _ = _pair(7, samples=900)
    assert metrics.snr(reference, 0 * reference) == 0
    assert math.isnan(metrics.si_sdr(reference, 0 * reference))
    assert math.isnan(metrics.sdr(reference, 0 * reference))


def test_a_perfect_estimate():
    reference, _ = _pair(8)
    assert metrics.snr(reference, reference) == math.inf
    assert metrics.si_sdr(reference, reference) > 200
    assert metrics.sdr(reference, reference) == pytest.approx(120, abs=1)


def test_an_estimate_without_the_reference_in_it():
    assert metrics.si_sdr(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == -math.inf


def test_a_channel_silent_in_the_reference_is_all_distortion():
    reference, estimate = _pair(9)
    reference[1] = 0
    energy = np.sum(estimate**2, axis=1)
    left = 10 ** (metrics.sdr(reference[0], estimate[0]) / 10)
    expected = energy[0] * left / (1 + left) / (energy[0] / (1 + left) + energy[1])
    assert metrics.sdr(reference, estimate) == pytest.approx(10 * np.log10(expected), abs=1e-9)


@pytest.mark.parametrize("ratio", RATIOS)
def test_nan_in_an_estimate_is_not_praised(ratio):
    reference, estimate = _pair(10, samples=900)
    estimate[0, 5] = np.nan
    assert math.isnan(ratio(reference, estimate))


@pytest.mark.parametrize("ratio", RATIOS)
def test_float32_is_computed_in_float64_and_left_alone(ratio):
    reference, estimate = (x.astype(np.float32) for x in _pair(11, samples=3000))
    before = estimate.copy()
    assert ratio(reference, estimate) == ratio(reference.astype(float), estimate.astype(float))
    np.testing.assert_array_equal(estimate, before)


@pytest.mark.parametrize("metric", [*RATIOS, metrics.mask_accuracy, metrics.mask_mse])
def test_shapes_that_differ_are_an_error(metric):
    with pytest.raises(ValueError, match=r"got \(2, 9\) and \(1, 9\)"):
        metric(np.ones((2, 9)), np.ones((1, 9)))


# BSS Eval version 4


def _stems(seed, seconds=3.5):
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((4, 2, int(seconds * RATE)))
    return references, 0.8 * references + rng.standard_normal(references.shape)


def test_frames_are_museval_s_with_its_own_filters():
    references, estimates = (x[:2] for x in _stems(0))
    theirs = bsseval._museval_metrics().bss_eval(
        references.swapaxes(1, 2), estimates.swapaxes(1, 2), window=RATE, hop=RATE
    )[0]
    ours = bsseval.frame_sdr(references, estimates, RATE)
    assert ours.shape == (2, 3)
    # Both float64; museval's decomposition adds and subtracts parts as large as the signal.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_a_frame_s_sdr_is_its_snr():
    references, estimates = _stems(1)
    frames = bsseval.frame_sdr(references, estimates, RATE)
    for stem, frame in np.ndindex(4, 3):
        part = np.s_[stem, :, frame * RATE : (frame + 1) * RATE]
        snr = metrics.snr(references[part], estimates[part])
        assert frames[stem, frame] == pytest.approx(snr, abs=1e-9)


def test_a_track_is_the_median_of_its_frames():
    references, estimates = _stems(2)
    frames = bsseval.frame_sdr(references, estimates, RATE)
    track = bsseval.track_sdr(references, estimates, RATE)
    np.testing.assert_array_equal(track, np.median(frames, axis=1))


def test_less_than_a_second_is_one_frame():
    references, estimates = _stems(3, seconds=0.4)
    frames = bsseval.frame_sdr(references, estimates, RATE)
    expected = [metrics.snr(s, e) for s, e in zip(references, estimates, strict=True)]
    np.testing.assert_allclose(frames[:, 0], expected, rtol=0, atol=1e-9)


def test_a_frame_with_a_silent_stem_is_left_out_for_all():
    references, estimates = _stems(4)
    references[2, :, RATE : 2 * RATE] = 0
    frames = bsseval.frame_sdr(references, estimates, RATE)
    assert np.isnan(frames).tolist() == [[False, True, False]] * 4
    track = bsseval.track_sdr(references, estimates, RATE)
    np.testing.assert_allclose(track, frames[:, [0, 2]].mean(axis=1))


def test_a_stem_silent_throughout_leaves_the_others_as_they_are():
    references, estimates = _stems(5)
    expected = bsseval.track_sdr(references, estimates, RATE)
    references[1] = 0
    estimates[3] = 0
    result = bsseval.track_sdr(references, estimates, RATE)
    np.testing.assert_allclose(result[[0, 2]], expected[[0, 2]], rtol=0, atol=1e-9)
    assert math.isnan(result[1])
    assert result[3] == 0


def test_all_silent():
    silence = np.zeros((4, 2, 2 * RATE))
    assert np.isnan(bsseval.track_sdr(silence, silence, RATE)).all()
    assert np.isnan(bsseval.track_sdr(silence, silence + 1, RATE)).all()


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_stems_that_repeat_channels_or_one_another(level):
    references, estimates = _stems(6)
    references[:, 1] = references[:, 0]
    references[3] = references[0]
    ours = bsseval.frame_sdr(level * references, level * estimates, RATE)
    for stem in range(4):
        snr = metrics.snr(references[stem, :, :RATE], estimates[stem, :, :RATE])
        assert ours[stem, 0] == pytest.approx(snr, abs=1e-6)


def test_bad_shapes():
    with pytest.raises(ValueError, match="wanted the same"):
        bsseval.frame_sdr(np.ones((4, 2, 9)), np.ones((4, 1, 9)), RATE)
    with pytest.raises(ValueError, match="wanted the same"):
        bsseval.frame_sdr(np.ones((2, 9)), np.ones((2, 9)), RATE)


def test_a_missing_museval_says_what_to_install(monkeypatch):
    bsseval._museval_metrics.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "museval>=0.4"'):
        bsseval.track_sdr(np.ones((4, 2, 9)), np.ones((4, 2, 9)), RATE)


def test_museval_is_imported_only_when_needed_and_without_what_surrounds_it():
    code = (
        "import sys, numpy as np; from stemsplit import bsseval;"
        "assert 'scipy' not in sys.modules;"
        "x = np.random.default_rng(0).standard_normal((2, 1, 9));"
        "bsseval.track_sdr(x, x + 1, 9);"
        "assert 'scipy' in sys.modules;"
        "assert not {'musdb', 'stempeg', 'pandas', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
