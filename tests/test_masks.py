"""Masks over the whole band from the network's lowest bins."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit.masks import full_band_masks


@pytest.fixture
def probabilities() -> np.ndarray:
    return np.random.default_rng(0).random((4, 1, 6, 513), np.float32)


def test_soft_masks_are_the_probabilities_below_the_limit(probabilities: np.ndarray) -> None:
    masks = full_band_masks(probabilities, 1025, soft=True)
    assert masks.shape == (4, 1, 6, 1025)
    np.testing.assert_array_equal(masks[..., :513], probabilities)


def test_hard_masks_cut_at_one_half(probabilities: np.ndarray) -> None:
    probabilities[0, 0, 0, :3] = 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.4999
    masks = full_band_masks(probabilities, 1025, soft=False)
    np.testing.assert_array_equal(masks[0, 0, 0, :3], [0, 1, 0])
    np.testing.assert_array_equal(masks[..., :513], probabilities > 0.5)


@pytest.mark.parametrize("soft", [True, False])
def test_the_band_above_is_shared_out_whole(probabilities: np.ndarray, soft: bool) -> None:
    above = full_band_masks(probabilities, 1025, soft=soft)[..., 513:]
    # Four float32 shares: rounding of a few 6e-8.
    np.testing.assert_allclose(above.sum(axis=0), 1, atol=3e-7)
    np.testing.assert_array_equal(above, np.broadcast_to(above[..., :1], above.shape))


def test_the_band_above_follows_the_octave_below_the_limit() -> None:
    probabilities = np.zeros((4, 1, 1, 513), np.float32)
    probabilities[0, 0, 0, :256] = 1.0  # below the octave: has no say
    probabilities[1, 0, 0, 256:] = 0.3
    probabilities[2, 0, 0, 256:] = 0.1
    soft = full_band_masks(probabilities, 1025, soft=True)[:, 0, 0, 700]
    np.testing.assert_allclose(soft, [0, 0.75, 0.25, 0], atol=1e-6)  # float32 means of 257 values
    hard = full_band_masks(probabilities, 1025, soft=False)[:, 0, 0, 700]
    np.testing.assert_array_equal(hard, [0, 1, 0, 0])


def test_the_band_above_is_never_silent() -> None:
    masks = full_band_masks(np.zeros((4, 1, 3, 513), np.float32), 1025, soft=True)
    np.testing.assert_array_equal(masks[..., 513:], 0.25)
    masks = full_band_masks(np.zeros((4, 1, 3, 513), np.float32), 1025, soft=False)
    np.testing.assert_array_equal(masks[..., 513:].sum(axis=0), 1)


def test_a_network_of_the_whole_band_needs_no_rule(probabilities: np.ndarray) -> None:
    masks = full_band_masks(probabilities, 513, soft=True)
    np.testing.assert_array_equal(masks, probabilities)


def test_exclusive_hard_masks_give_a_bin_to_the_largest(probabilities: np.ndarray) -> None:
    masks = full_band_masks(probabilities, 1025, soft=False, exclusive=True)
    assert set(np.unique(masks)) == {0.0, 1.0}
    np.testing.assert_array_equal(masks.sum(axis=0), 1)
    np.testing.assert_array_equal(masks[..., :513].argmax(axis=0), probabilities.argmax(axis=0))
