"""The one-shot transforms against a float64 reference, torch, round trips and their limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit import dsp

# float32 keeps 24 bits; up to 16 stages of additions round by at most 6e-8 each, at random.
TOLERANCE = 1e-6
KERNELS = dsp.available_kernels()


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def hann(n_fft):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def reference_stft(x, n_fft, hop_length, window=None):
    """Frames, window and transform in float64 by NumPy alone."""
    half = n_fft // 2
    # numpy.pad wants one sample repeated by another name.
    mode = "reflect" if x.shape[1] > 1 else "edge"
    padded = np.pad(x.astype(np.float64), ((0, 0), (half, half)), mode=mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop_length]
    window = hann(n_fft) if window is None else window
    return np.fft.rfft(frames[:, : 1 + x.shape[1] // hop_length] * window, axis=-1)


def reference_istft(spec, n_fft, hop_length, length, window=None):
    """Overlap-add over the sum of squared windows, in float64."""
    window = hann(n_fft) if window is None else window
    frames = np.fft.irfft(spec.astype(np.complex128), n_fft, axis=-1) * window
    total = np.zeros((len(spec), (spec.shape[1] - 1) * hop_length + n_fft))
    squares = np.zeros(total.shape[1])
    for f in range(spec.shape[1]):
        total[:, f * hop_length : f * hop_length + n_fft] += frames[:, f]
        squares[f * hop_length : f * hop_length + n_fft] += window**2
    middle = slice(n_fft // 2, n_fft // 2 + length)
    return total[:, middle] / squares[middle]


def relative_error(got, wanted):
    return np.linalg.norm((got - wanted).ravel()) / np.linalg.norm(wanted.ravel())


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    monkeypatch.setenv("STEMSPLIT_KERNEL", request.param)
    assert dsp.kernel_name() == request.param
    return request.param


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("n_fft", [2**k for k in range(6, 17)])
def test_every_size_matches_float64(n_fft):
    x = noise((3, 2 * n_fft + 11), seed=n_fft)
    hop_length = n_fft // 4 - 1
    spec = dsp.stft(x, n_fft, hop_length)
    assert spec.dtype == np.complex64
    wanted = reference_stft(x, n_fft, hop_length)
    assert spec.shape == wanted.shape
    assert relative_error(spec, wanted) < TOLERANCE
    y = dsp.istft(spec, n_fft, hop_length, length=x.shape[1])
    assert y.dtype == np.float32
    assert y.shape == x.shape
    assert relative_error(y, x) < TOLERANCE


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("mask_channels", ["one", "all"])
def test_masked_inverse_matches_float64(channels, mask_channels):
    n_fft, hop_length, length, stems = 512, 100, 6000, 3
    rng = np.random.default_rng(channels)
    frames = 1 + length // hop_length
    shape = (channels, frames, n_fft // 2 + 1)
    # Not the spectrum of any signal: the inverse must still be the least-squares one.
    spec = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    masks = rng.random(
        (stems, 1 if mask_channels == "one" else channels, *shape[1:]), dtype=np.float32
    )
    stems_out = dsp.apply_masks_istft(spec, masks, n_fft, hop_length, length=length)
    assert stems_out.shape == (stems, channels, length)
    for stem, mask in zip(stems_out, masks, strict=True):
        wanted = reference_istft(spec.astype(np.complex128) * mask, n_fft, hop_length, length)
        assert relative_error(stem, wanted) < TOLERANCE


@pytest.mark.parametrize(("n_fft", "hop_length"), [(64, 16), (2048, 512), (4096, 1000)])
def test_agrees_with_torch(n_fft, hop_length):
    x = noise((2, 9000))
    window = torch.hann_window(n_fft)
    theirs = torch.stft(torch.from_numpy(x), n_fft, hop_length, window=window, return_complex=True)
    spec = dsp.stft(x, n_fft, hop_length)
    assert relative_error(spec, theirs.numpy().swapaxes(1, 2)) < TOLERANCE
    back = torch.istft(theirs, n_fft, hop_length, window=window, length=9000)
    assert relative_error(dsp.istft(spec, n_fft, hop_length, length=9000), back.numpy()) < TOLERANCE


@pytest.mark.parametrize("samples", [1, 2, 3, 31, 32, 33, 64, 65, 200])
def test_short_signals_reflect_like_numpy(samples):
    x = noise((2, samples), seed=samples)
    wanted = reference_stft(x, 64, 16)
    spec = dsp.stft(x, 64, 16)
    assert spec.shape == (2, 1 + samples // 16, 33)
    assert relative_error(spec, wanted) < TOLERANCE
    assert relative_error(dsp.istft(spec, 64, 16, length=samples), x) < TOLERANCE


@settings(max_examples=60, deadline=None)
@given(
    log2_n=st.integers(6, 10),
    hop_share=st.floats(0.01, 0.5),
    channels=st.integers(1, 5),
    samples=st.integers(1, 5000),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trip_for_any_shape(log2_n, hop_share, channels, samples, seed):
    n_fft = 2**log2_n
    hop_length = max(1, int(n_fft * hop_share))
    x = noise((channels, samples), seed)
    spec = dsp.stft(x, n_fft, hop_length)
    # Whole hops: beyond the last centre a wide hop leaves only the last window's falling edge,
    # where the sum of squares gets small and rounding errors grow by its inverse.
    covered = max(1, samples // hop_length * hop_length)
    y = dsp.istft(spec, n_fft, hop_length, length=covered)
    # A sample's rounding errors come from all those under its windows: relative to the whole.
    assert np.linalg.norm(y - x[:, :covered]) < 2 * TOLERANCE * np.linalg.norm(x)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(-1e3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_stft_is_linear(scale, seed):
    a, b = noise((2, 1, 700), seed)
    scale = np.float32(scale)
    both = dsp.stft(a + scale * b, 256, 64)
    apart = dsp.stft(a, 256, 64) + scale * dsp.stft(b, 256, 64)
    assert relative_error(both, apart) < 2 * TOLERANCE


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), stems=st.integers(1, 5))
def test_masks_that_sum_to_one_give_the_mixture_back(seed, stems):
    x = noise((2, 2000), seed)
    spec = dsp.stft(x, 256, 64)
    masks = np.random.default_rng(seed).random((stems, 1, *spec.shape[1:]), dtype=np.float32)
    masks += 0.01
    masks /= masks.sum(axis=0)
    parts = dsp.apply_masks_istft(spec, masks, 256, 64, length=2000)
    assert relative_error(parts.sum(axis=0), x) < 2 * TOLERANCE


def test_user_windows():
    x = noise((2, 3000))
    window = np.hamming(256)
    wanted = reference_stft(x, 256, 64, window)
    for given_window in (window, window.astype(np.float32), np.repeat(window, 2)[::2]):
        spec = dsp.stft(x, 256, 64, given_window)
        assert relative_error(spec, wanted) < TOLERANCE
        y = dsp.istft(spec, 256, 64, given_window, length=3000)
        assert relative_error(y, x) < TOLERANCE


def test_rectangular_windows_side_by_side_invert():
    x = noise((1, 1024))
    ones = np.ones(64, np.float32)
    spec = dsp.stft(x, 64, 64, ones)
    assert relative_error(dsp.istft(spec, 64, 64, ones, length=1024), x) < TOLERANCE


def test_hann_window_is_the_periodic_one():
    for n_fft in (1, 2, 5, 64, 4096):
        window = dsp.hann_window(n_fft)
        assert window.dtype == np.float32
        # One rounding to float32.
        np.testing.assert_allclose(window, hann(n_fft), rtol=0, atol=6e-8)


@pytest.mark.usefixtures("kernel")
def test_threads_do_not_change_a_bit():
    x = noise((3, 40000))
    alone = dsp.stft(x, 1024, 256, threads=1)
    masks = np.random.default_rng(1).random((2, 3, *alone.shape[1:]), dtype=np.float32)
    stems = dsp.apply_masks_istft(alone, masks, 1024, 256, length=40000, threads=1)
    for threads in (2, 3, 8):
        assert np.array_equal(dsp.stft(x, 1024, 256, threads=threads), alone)
        again = dsp.apply_masks_istft(alone, masks, 1024, 256, length=40000, threads=threads)
        assert np.array_equal(again, stems)


def test_strides_do_not_change_a_bit():
    x = noise((2, 5000))
    spec = dsp.stft(x, 256, 64)
    wide = np.zeros((5, 10001), np.float32)
    wide[::-2][:2, 1::2] = x
    for same in (wide[::-2][:2, 1::2], np.asfortranarray(x), x[::-1][::-1]):
        assert np.array_equal(dsp.stft(same, 256, 64), spec)
    odd = np.frombuffer(b"x" + x.tobytes(), np.float32, x.size, 1).reshape(x.shape)
    assert not odd.flags.aligned
    assert np.array_equal(dsp.stft(odd, 256, 64), spec)

    masks = np.random.default_rng(2).random((3, 1, *spec.shape[1:]), dtype=np.float32)
    stems = dsp.apply_masks_istft(spec, masks, 256, 64, length=5000)
    # Masks and spectrum as a network that thinks in (bins, frames) holds them.
    turned = np.ascontiguousarray(masks.swapaxes(2, 3)).swapaxes(2, 3)
    turned_spec = np.ascontiguousarray(spec.swapaxes(1, 2)).swapaxes(1, 2)
    for gains in (masks, turned, masks[::-1][::-1], masks[..., ::-1].copy()[..., ::-1]):
        for bins in (spec, turned_spec, np.asfortranarray(spec)):
            again = dsp.apply_masks_istft(bins, gains, 256, 64, length=5000)
            assert np.array_equal(again, stems)
    repeated = np.broadcast_to(masks, (3, 2, *masks.shape[2:]))
    again = dsp.apply_masks_istft(spec, repeated, 256, 64, length=5000)
    assert np.array_equal(again, stems)


def test_arguments_stay_as_they_are():
    x = noise((2, 3000))
    x.flags.writeable = False
    spec = dsp.stft(x, 256, 64)
    spec.flags.writeable = False
    before = spec.copy()
    masks = np.ones((1, 1, *spec.shape[1:]), np.float32)
    masks.flags.writeable = False
    dsp.apply_masks_istft(spec, masks, 256, 64, length=3000)
    assert np.array_equal(spec, before)
    assert (masks == 1).all()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("hop_length", [32, 64, 96, 100, 128, 256])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_bits_do_not_depend_on_where_out_lies(hop_length, channels):
    """Aligned outputs are written past the cache, by another copy of the code."""
    rng = np.random.default_rng(hop_length)
    spec = dsp.stft(noise((channels, 3000)), 256, hop_length)
    masks = rng.random((3, 1, *spec.shape[1:]), dtype=np.float32)
    how = {"window": 1 + rng.random(256), "length": 2800}
    for threads in (1, 3):
        wanted = dsp.apply_masks_istft(spec, masks, 256, hop_length, threads=threads, **how)
        assert wanted.strides[1] % 64 == 0
        out = np.empty((3, channels, 2801), np.float32)[..., 1:]
        dsp.apply_masks_istft(spec, masks, 256, hop_length, out=out, threads=threads, **how)
        assert np.array_equal(out, wanted)
        plain = dsp.istft(spec, 256, hop_length, threads=threads, **how)
        dsp.istft(spec, 256, hop_length, out=out[0], threads=threads, **how)
        assert np.array_equal(out[0], plain)


def test_out_is_written_and_returned():
    x = noise((2, 3000))
    spec = dsp.stft(x, 256, 64)
    masks = np.ones((3, 1, *spec.shape[1:]), np.float32)
    y = dsp.istft(spec, 256, 64, length=3000)
    stems = dsp.apply_masks_istft(spec, masks, 256, 64, length=3000)

    assert spec.ctypes.data % 64 == 0  # what lets a returned array be written past the cache
    assert spec.strides[1] % 64 == 0
    big = np.full((2, spec.shape[1] + 1, 140), 7j, np.complex64)
    for out in (np.empty_like(spec), np.zeros(spec.shape, np.complex64), big[:, 1:, 5:134]):
        assert dsp.stft(x, 256, 64, out=out) is out
        assert np.array_equal(out, spec)
    assert (big[:, 0] == 7j).all()
    assert (big[..., :5] == 7j).all()
    assert (big[..., 134:] == 7j).all()

    out = np.empty((2, 3000), np.float32)
    assert dsp.istft(spec, 256, 64, length=3000, out=out) is out
    assert np.array_equal(out, y)
    out = np.empty((3, 2, 3001), np.float32)[..., 1:]
    assert dsp.apply_masks_istft(spec, masks, 256, 64, length=3000, out=out) is out
    assert np.array_equal(out, stems)
