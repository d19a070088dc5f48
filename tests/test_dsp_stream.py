"""Streams give the bits of the one-shot calls, however the input is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit import dsp


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def cut(total, lengths):
    """Slices of [0, total): the given lengths over and over, empty ones among them."""
    begin, i = 0, 0
    while begin < total:
        end = min(total, begin + lengths[i % len(lengths)])
        yield slice(begin, end)
        begin, i = end, i + 1


blockings = st.lists(st.integers(0, 900), min_size=1, max_size=4).filter(any)


def streamed_stft(x, n_fft, hop_length, lengths):
    stream = dsp.StftStream(len(x), n_fft, hop_length)
    parts = [stream.process(x[:, part]) for part in cut(x.shape[1], lengths)]
    return np.concatenate([*parts, stream.finish()], axis=1)


def streamed_istft(spec, masks, n_fft, hop_length, length, lengths):
    stems = None if masks is None else len(masks)
    stream = dsp.IstftStream(len(spec), n_fft, hop_length, stems=stems)
    parts = []
    for part in cut(spec.shape[1], lengths):
        gains = None if masks is None else masks[:, :, part]
        parts.append(stream.process(spec[:, part], gains))
    return np.concatenate([*parts, stream.finish(length)], axis=-1)


@settings(max_examples=80, deadline=None)
@given(
    n_fft=st.sampled_from([64, 256, 1024]),
    hop_share=st.floats(0.05, 0.5),
    channels=st.integers(1, 4),
    samples=st.integers(1, 4000),
    lengths=blockings,
    seed=st.integers(0, 2**32 - 1),
)
def test_stft_stream_is_stft(n_fft, hop_share, channels, samples, lengths, seed):
    hop_length = max(1, int(n_fft * hop_share))
    x = noise((channels, samples), seed)
    wanted = dsp.stft(x, n_fft, hop_length)
    assert np.array_equal(streamed_stft(x, n_fft, hop_length, lengths), wanted)


@settings(max_examples=80, deadline=None)
@given(
    n_fft=st.sampled_from([64, 256, 1024]),
    hop_share=st.floats(0.05, 0.45),
    channels=st.integers(1, 4),
    stems=st.none() | st.integers(1, 3),
    samples=st.integers(1, 4000),
    lengths=blockings,
    seed=st.integers(0, 2**32 - 1),
)
def test_istft_stream_is_istft(n_fft, hop_share, channels, stems, samples, lengths, seed):
    hop_length = max(1, int(n_fft * hop_share))
    spec = dsp.stft(noise((channels, samples), seed), n_fft, hop_length)
    if stems is None:
        masks = None
        wanted = dsp.istft(spec, n_fft, hop_length, length=samples)
    else:
        masks = np.random.default_rng(seed).random((stems, 1, *spec.shape[1:]), dtype=np.float32)
        wanted = dsp.apply_masks_istft(spec, masks, n_fft, hop_length, length=samples)
    got = streamed_istft(spec, masks, n_fft, hop_length, samples, lengths)
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize("kernel", dsp.available_kernels())
@pytest.mark.parametrize("log2_n_fft", range(6, 17))
def test_a_frame_has_the_same_bits_alone_and_among_others(kernel, log2_n_fft, monkeypatch):
    """A long one is separated while the next is transformed, if its block has another."""
    monkeypatch.setenv("STEMSPLIT_KERNEL", kernel)
    n_fft, hop_length = 1 << log2_n_fft, 1 << (log2_n_fft - 2)
    x = noise((3, 2 * n_fft + 5))
    wanted = dsp.stft(x, n_fft, hop_length, threads=1)
    assert np.array_equal(streamed_stft(x, n_fft, hop_length, [hop_length]), wanted)
    out = np.empty(wanted.shape, np.complex64)  # rows off the cache lines, unlike those of `wanted`
    assert np.array_equal(dsp.stft(x, n_fft, hop_length, threads=1, out=out), wanted)


@pytest.mark.parametrize("kernel", dsp.available_kernels())
def test_long_blocks_split_over_threads(kernel, monkeypatch):
    monkeypatch.setenv("STEMSPLIT_KERNEL", kernel)
    monkeypatch.setenv("STEMSPLIT_NUM_THREADS", "3")
    x = noise((2, 90000))
    spec = dsp.stft(x, 512, 128, threads=1)
    assert np.array_equal(streamed_stft(x, 512, 128, [30000]), spec)
    masks = np.random.default_rng(0).random((4, 2, *spec.shape[1:]), dtype=np.float32)
    wanted = dsp.apply_masks_istft(spec, masks, 512, 128, length=90000, threads=1)
    assert np.array_equal(streamed_istft(spec, masks, 512, 128, 90000, [200]), wanted)


def test_frames_and_samples_come_as_soon_as_they_are_final():
    stream = dsp.StftStream(2, 64, 16)
    assert stream.process(np.zeros((2, 32), np.float32)).shape == (2, 0, 33)
    assert stream.process(np.zeros((2, 0), np.float32)).shape == (2, 0, 33)
    assert stream.process(np.zeros((2, 1), np.float32)).shape == (2, 1, 33)
    assert stream.process(np.zeros((2, 16), np.float32)).shape == (2, 1, 33)
    assert stream.finish().shape == (2, 2, 33)

    inverse = dsp.IstftStream(2, 64, 16, stems=3)
    masks = np.ones((3, 1, 2, 33), np.float32)
    spec = np.zeros((2, 2, 33), np.complex64)
    assert inverse.process(spec, masks).shape == (3, 2, 0)
    assert inverse.process(spec, masks).shape == (3, 2, 32)
    assert inverse.process(spec[:, :0], masks[:, :, :0]).shape == (3, 2, 0)
    assert inverse.finish(48).shape == (3, 2, 16)


def test_streams_refuse_misuse():
    stream = dsp.StftStream(2, 64, 16)
    with pytest.raises(ValueError, match="got 3 channels, wanted 2"):
        stream.process(noise((3, 10)))
    with pytest.raises(TypeError, match="got dtype float64"):
        stream.process(np.zeros((2, 10)))
    with pytest.raises(ValueError, match="got 0 samples"):
        stream.finish()
    stream.process(noise((2, 10)))
    stream.finish()
    with pytest.raises(ValueError, match="after finish"):
        stream.process(noise((2, 10)))
    with pytest.raises(ValueError, match="after finish"):
        stream.finish()

    with pytest.raises(ValueError, match="do not overlap enough"):
        dsp.IstftStream(1, 64, 64)
    spec = np.zeros((1, 8, 33), np.complex64)
    masks = np.ones((2, 1, 8, 33), np.float32)
    with pytest.raises(ValueError, match="got None, wanted one for each stem"):
        dsp.IstftStream(1, 64, 16, stems=2).process(spec)
    with pytest.raises(ValueError, match="say stems="):
        dsp.IstftStream(1, 64, 16).process(spec, masks)
    with pytest.raises(ValueError, match="got 2 stems, wanted 3"):
        dsp.IstftStream(1, 64, 16, stems=3).process(spec, masks)
    inverse = dsp.IstftStream(1, 64, 16)
    assert inverse.process(spec).shape == (1, 96)
    with pytest.raises(ValueError, match="at least the 96 samples already returned"):
        inverse.finish(95)
    with pytest.raises(ValueError, match="do not overlap enough"):
        inverse.finish(1000)
    assert inverse.finish(120).shape == (1, 24)
    with pytest.raises(ValueError, match="after finish"):
        inverse.finish(120)
