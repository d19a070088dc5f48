"""Ideal masks and targets against the sentences that define them."""

import numpy as np
import pytest

from stemsplit.signals import (
    binary_target,
    downmix_magnitude,
    ideal_binary_masks,
    ideal_ratio_masks,
)


def _spectra(seed, *shape):
    rng = np.random.default_rng(seed)
    spectra = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return spectra.astype(np.complex64)


def test_downmix_is_the_root_mean_square_of_the_channels():
    spec = np.array([[[3 + 0j, 1j]], [[4j, -1 + 0j]]], np.complex64)
    mono = downmix_magnitude(spec)
    # float32 carries 24 bits; the square root of a sum of two squares rounds a few times.
    np.testing.assert_allclose(mono, [[[np.sqrt(12.5), 1.0]]], rtol=1e-6)
    assert mono.dtype == np.float32


def test_downmix_does_not_cancel_channels_in_opposite_phase():
    spec = _spectra(0, 1, 3, 5)
    stereo = np.concatenate([spec, -spec])
    np.testing.assert_allclose(downmix_magnitude(stereo), np.abs(spec), rtol=1e-6)


def test_target_compares_magnitudes_bin_by_bin():
    source, rest = _spectra(1, 2, 4, 6), _spectra(2, 2, 4, 6)
    target = binary_target(source, rest)
    assert target.dtype == np.bool_
    for index in np.ndindex(2, 4, 6):
        assert target[index] == (abs(complex(source[index])) > abs(complex(rest[index])))


def test_target_after_a_downmix_is_one_mask_for_all_channels():
    source = np.array([[[3 + 0j]], [[0j]]], np.complex64)
    rest = np.array([[[1 + 0j]], [[1j]]], np.complex64)
    assert binary_target(source, rest).tolist() == [[[True]], [[False]]]
    assert binary_target(source, rest, downmix=True).tolist() == [[[True]]]


def test_a_tie_and_silence_are_false():
    spec = _spectra(3, 1, 2, 2)
    assert not binary_target(spec, spec).any()
    assert not binary_target(np.zeros_like(spec), np.zeros_like(spec)).any()


def test_everything_else_is_a_complex_sum():
    stems = np.array([1, 2, -2], np.complex64).reshape(3, 1, 1, 1)
    masks = ideal_binary_masks(stems, stems.sum(axis=0))
    # Nothing is left against the first; 2 beats |1 - 2|; |-2| does not beat 1 + 2.
    assert masks.ravel().tolist() == [1, 1, 0]


@pytest.mark.parametrize("downmix", [False, True])
def test_ideal_binary_masks_are_the_targets_of_all_stems(downmix):
    stems = _spectra(4, 4, 2, 5, 9)
    mixture = stems.sum(axis=0)
    masks = ideal_binary_masks(stems, mixture, downmix=downmix)
    assert masks.shape == (4, 1 if downmix else 2, 5, 9)
    assert masks.dtype == np.float32
    for mask, stem in zip(masks, stems, strict=True):
        np.testing.assert_array_equal(mask, binary_target(stem, mixture - stem, downmix=downmix))


def test_binary_masks_of_two_stems_exclude_each_other():
    stems = _spectra(5, 2, 2, 20, 30)
    assert ideal_binary_masks(stems, stems.sum(axis=0)).sum(axis=0).max() == 1


@pytest.mark.parametrize("downmix", [False, True])
def test_ratio_masks_are_the_shares_of_power(downmix):
    stems = _spectra(6, 4, 2, 5, 9)
    masks = ideal_ratio_masks(stems, downmix=downmix)
    power = np.abs(stems.astype(np.complex128)) ** 2
    if downmix:
        power = power.sum(axis=1, keepdims=True)
    # Six roundings to float32 (6e-8 each) between the squares and the quotient.
    np.testing.assert_allclose(masks, power / power.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(masks.sum(axis=0), 1, rtol=1e-6)
    assert masks.dtype == np.float32


def test_ratio_masks_share_silence_equally():
    masks = ideal_ratio_masks(np.zeros((4, 1, 2, 3), np.complex64))
    assert np.all(masks == np.float32(0.25))


def test_arguments_are_left_alone():
    stems = _spectra(7, 4, 2, 3, 3)
    before = stems.copy()
    mixture = stems.sum(axis=0)
    ideal_binary_masks(stems, mixture, downmix=True)
    ideal_ratio_masks(stems, downmix=True)
    np.testing.assert_array_equal(stems, before)
