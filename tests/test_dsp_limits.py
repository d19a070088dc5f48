"""What the transforms refuse and how they say so; many threads, forks, environment."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stemsplit import dsp

X = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
SPEC = dsp.stft(X, 64, 16)
MASKS = np.ones((3, 1, *SPEC.shape[1:]), np.float32)


def refused(error, text):
    return pytest.raises(error, match=re.escape(text))


def test_spreads_that_cannot_be() -> None:
    below, weights = np.array([0, 1, 1]), np.zeros(3, np.float32)
    with refused(ValueError, "spread: got 3 bins with 3 weights of 2 values, wanted"):
        dsp.Spread(below, weights, 2)
    with refused(ValueError, "spread: got 3 bins with 2 weights"):
        dsp.Spread(below, weights[:2], 3)
    with refused(ValueError, "below: got -1, wanted 0 or more"):
        dsp.Spread(below - 1, weights, 3)
    with refused(ValueError, "below: got 8589934593, wanted less than 2**32"):
        dsp.Spread(below + 2**33, weights, 3)
    with refused(TypeError, "below: got list, wanted a NumPy array of integers"):
        dsp.Spread([0, 1, 1], weights, 3)
    with refused(TypeError, "below: got an array of float64, wanted integers"):
        dsp.Spread(below / 2, weights, 3)
    with refused(TypeError, "weights: got an array of int64, wanted floats"):
        dsp.Spread(below, below, 3)
    with refused(ValueError, "weights: got 2 dimensions, wanted 1"):
        dsp.Spread(below, weights[None], 3)
    for refusing in (
        lambda: dsp.apply_masks_istft(SPEC, MASKS, 64, 16, length=1000, spread="x"),
        lambda: dsp.IstftStream(2, 64, 16, stems=3, spread="x"),
    ):
        with refused(TypeError, "spread: got str, wanted a Spread or None"):
            refusing()
    spread = dsp.Spread(below, weights, 3)
    with refused(ValueError, "spread: got 3 bins, wanted n_fft / 2 + 1 = 33"):
        dsp.apply_masks_istft(SPEC, MASKS, 64, 16, length=1000, spread=spread)
    with refused(ValueError, "spread: got 3 bins, wanted n_fft / 2 + 1 = 33"):
        dsp.IstftStream(2, 64, 16, stems=3, spread=spread)
    with refused(ValueError, "spread: got one without masks, wanted stems= beside it"):
        dsp.IstftStream(2, 64, 16, spread=spread)
    spread = dsp.Spread(np.arange(33), np.zeros(33, np.float32), 34)
    with refused(ValueError, "wanted (stems, 2 or 1, 63, 34) to go with the spectrum and the spre"):
        dsp.apply_masks_istft(SPEC, MASKS, 64, 16, length=1000, spread=spread)


def test_the_size_is_refused_before_the_window_that_goes_with_it() -> None:
    with refused(ValueError, "n_fft: got 1000, wanted a power of two"):
        dsp.stft(np.ones((1, 2000), np.float32), 1000, 16, np.ones(64, np.float32))
    with refused(TypeError, "wanted a NumPy array of float32 or float64"):
        dsp.stft(np.ones((1, 2000), np.float32), 64, 16, np.ones(64, int))


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e300])
def test_weights_are_finite(weight) -> None:
    with refused(ValueError, "weights: got one that is no finite float32"):
        dsp.Spread(np.arange(2), np.array([0, weight]), 3)


@pytest.mark.parametrize(
    ("spec", "edges", "error", "text"),
    [
        (SPEC[:1], [0, 33], ValueError, "spec: got 1 channels, wanted 2"),
        (SPEC, [0], ValueError, "edges: got 1 of them, wanted at least two"),
        (SPEC, [0, 4, 4], ValueError, "edges: got 4 after 4, wanted ones that rise"),
        (SPEC, [0, 34], ValueError, "edges: got 34, wanted at most the 33 bins"),
        (SPEC, [-1, 3], ValueError, "edges: got -1, wanted 0 or more"),
        (SPEC, [0.0, 33.0], TypeError, "edges: got an array of float64, wanted integers"),
        (SPEC, 33, ValueError, "edges: got 0 dimensions, wanted 1"),
        (SPEC.real, [0, 33], TypeError, "spec: got dtype float32"),
    ],
)
def test_powers_of_bands_that_cannot_be(spec, edges, error, text) -> None:
    with refused(error, text):
        dsp.band_powers(spec, np.array(edges))


@pytest.mark.parametrize("n_fft", [0, 1, 32, 63, 100, 131072, 2**39])
def test_other_lengths_than_powers_of_two(n_fft):
    message = f"n_fft: got {n_fft}, wanted a power of two, 64 to 65536"
    with refused(ValueError, message):
        dsp.stft(X, n_fft, 16)
    with refused(ValueError, message):
        dsp.istft(SPEC, n_fft, 16, length=1000)
    with refused(ValueError, message):
        dsp.StftStream(2, n_fft, 16)
    with refused(ValueError, message):
        dsp.IstftStream(2, n_fft, 16)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((X, 64, 0), ValueError, "hop_length: got 0, wanted 1 to n_fft = 64"),
        ((X, 64, 65), ValueError, "hop_length: got 65"),
        ((X, -64, 16), ValueError, "n_fft: got -64"),
        ((X, 10**30, 16), ValueError, "n_fft: got 1000000000"),
        ((X, 64.0, 16), TypeError, "n_fft: got float, wanted an integer"),
        ((X.astype(np.float64), 64, 16), TypeError, "x: got dtype float64, wanted"),
        ((X.astype(">f4"), 64, 16), TypeError, "x: got dtype >f4"),
        (([[0.0]], 64, 16), TypeError, "x: got list, wanted a NumPy array of float32"),
        ((X[0], 64, 16), ValueError, "x: got shape (1000,), wanted (channels, samples)"),
        ((X[None], 64, 16), ValueError, "x: got shape (1, 2, 1000)"),
        ((X[:0], 64, 16), ValueError, "x: got 0 channels"),
        ((X[:, :0], 64, 16), ValueError, "x: got 0 samples"),
        ((X, 64, 16, np.ones(63)), ValueError, "window: got shape (63,), wanted shape (64,)"),
        ((X, 64, 16, np.ones((64, 1))), ValueError, "window: got shape (64, 1)"),
        ((X, 64, 16, np.ones(64, int)), TypeError, "window: got dtype int64"),
        ((X, 64, 16, [1.0] * 64), TypeError, "window: got list"),
        ((X, 64, 16, np.full(64, 1e300)), ValueError, "window: got a sample that is no finite"),
        ((X, 64, 16, np.full(64, np.nan)), ValueError, "window: got a sample that is no finite"),
    ],
)
def test_stft_refuses(arguments, error, text):
    with refused(error, text):
        dsp.stft(*arguments)


@pytest.mark.parametrize(
    ("masks", "error", "text"),
    [
        (None, TypeError, "masks: got None"),
        (MASKS.astype(np.float64), TypeError, "masks: got dtype float64"),
        (MASKS > 0, TypeError, "masks: got dtype bool"),
        (MASKS[0], ValueError, "masks: got shape (1, 63, 33), wanted (stems,"),
        (MASKS[:0], ValueError, "masks: got 0 stems"),
        (MASKS[:, :0], ValueError, "masks: got 0 channels"),
        (MASKS[:, :, 1:], ValueError, "wanted (stems, 2 or 1, 63, 33)"),
        (MASKS[..., 1:], ValueError, "masks: got shape (3, 1, 63, 32)"),
        (np.repeat(MASKS, 3, axis=1), ValueError, "masks: got shape (3, 3, 63, 33)"),
    ],
)
def test_masks_refused(masks, error, text):
    with refused(error, text):
        dsp.apply_masks_istft(SPEC, masks, 64, 16, length=1000)


@pytest.mark.parametrize(
    ("spec", "length", "error", "text"),
    [
        (SPEC.astype(np.complex128), 1000, TypeError, "spec: got dtype complex128"),
        (SPEC[0], 1000, ValueError, "spec: got shape (63, 33), wanted (channels,"),
        (SPEC[..., 1:], 1000, ValueError, "spec: got 32 bins, wanted n_fft / 2 + 1 = 33"),
        (SPEC[:0], 1000, ValueError, "spec: got 0 channels"),
        (SPEC[:, :0], 1000, ValueError, "got 0 frames"),
        (SPEC, 0, ValueError, "length: got 0 samples"),
        (SPEC, -1, ValueError, "length: got -1"),
        (SPEC, 1.5, TypeError, "length: got float"),
        (SPEC, 2000, ValueError, "do not overlap enough"),
        (SPEC, 2**40, ValueError, "do not overlap enough"),
    ],
)
def test_istft_refuses(spec, length, error, text):
    with refused(error, text):
        dsp.istft(spec, 64, 16, length=length)


def test_hann_windows_must_overlap():
    spec = np.zeros((1, 10, 33), np.complex64)
    with refused(ValueError, "use a smaller hop_length or another window"):
        dsp.istft(spec, 64, 64, length=500)
    # Half overlapping ones do, up to where the last window ends.
    assert dsp.istft(spec, 64, 32, length=10 * 32).shape == (1, 320)
    with refused(ValueError, "do not overlap enough"):
        dsp.istft(spec, 64, 32, length=10 * 32 + 1)


def test_out_refused():
    good = np.zeros(SPEC.shape, np.complex64)
    read_only = good.copy()
    read_only.flags.writeable = False
    for out, error, text in [
        (good.astype(np.complex128), TypeError, "out: got dtype complex128"),
        (good[:, 1:], ValueError, "out: got shape (2, 62, 33), wanted shape (2, 63, 33)"),
        (read_only, ValueError, "out: got a read-only array"),
        (np.asfortranarray(good), ValueError, "wanted C order with contiguous, aligned rows"),
        (good[:, ::-1], ValueError, "wanted C order"),
        (np.broadcast_to(good[:1], good.shape), ValueError, "out: got a read-only array"),
        (good.tolist(), TypeError, "out: got list"),
    ]:
        with refused(error, text):
            dsp.stft(X, 64, 16, out=out)
    folded = np.lib.stride_tricks.as_strided(good, good.shape, (0, 33 * 8, 8))
    with refused(ValueError, "wanted C order"):
        dsp.stft(X, 64, 16, out=folded)


def test_out_must_not_be_an_input():
    pool = np.zeros(2 * 1000 * 2, np.float32)
    x = pool[:2000].reshape(2, 1000)
    spec = dsp.stft(x, 64, 16)
    room = np.zeros(SPEC.size, np.complex64)
    as_spec = room.reshape(SPEC.shape)
    as_signal = room.view(np.float32)[:2000].reshape(2, 1000)
    with refused(ValueError, "out: got memory of an input, wanted memory of its own"):
        dsp.istft(as_spec, 64, 16, length=1000, out=as_signal)
    with refused(ValueError, "out: got memory of an input"):
        dsp.stft(as_signal, 64, 16, out=as_spec)
    masks = np.ones(MASKS.size, np.float32)
    with refused(ValueError, "out: got memory of an input"):
        dsp.apply_masks_istft(
            SPEC,
            masks.reshape(MASKS.shape),
            64,
            16,
            length=1000,
            out=masks[:6000].reshape(3, 2, 1000),
        )
    dsp.istft(spec, 64, 16, length=1000, out=pool[2000:].reshape(2, 1000))


@pytest.mark.parametrize("threads", [0, -1, 257, 10**20])
def test_threads_refused(threads):
    with refused(ValueError, f"threads: got {threads}, wanted 1 to 256"):
        dsp.stft(X, 64, 16, threads=threads)


def test_environment(monkeypatch):
    monkeypatch.setenv("STEMSPLIT_NUM_THREADS", "2")
    assert np.array_equal(dsp.stft(X, 64, 16), SPEC)
    for bad in ("0", "many", "-3"):
        monkeypatch.setenv("STEMSPLIT_NUM_THREADS", bad)
        with refused(ValueError, "STEMSPLIT_NUM_THREADS: got"):
            dsp.stft(X, 64, 16)
    monkeypatch.setenv("STEMSPLIT_NUM_THREADS", "1")
    monkeypatch.setenv("STEMSPLIT_KERNEL", "abacus")
    with refused(ValueError, "unknown kernel: got 'abacus', wanted one of"):
        dsp.stft(X, 64, 16)
    with refused(ValueError, "STEMSPLIT_KERNEL"):
        dsp.kernel_name()
    monkeypatch.setenv("STEMSPLIT_KERNEL", "\udcff")  # a byte that is no text
    with refused(ValueError, "STEMSPLIT_KERNEL: got '\\udcff', wanted one of"):
        dsp.kernel_name()


def test_best_kernel_is_the_default(monkeypatch):
    monkeypatch.delenv("STEMSPLIT_KERNEL", raising=False)
    assert dsp.kernel_name() == dsp.available_kernels()[0]
    assert dsp.available_kernels()[-1] in {"sse2", "neon", "generic"}


def test_many_python_threads_at_once():
    def one(seed):
        x = np.random.default_rng(seed).standard_normal((2, 20000)).astype(np.float32)
        spec = dsp.stft(x, 512, 128, threads=3)
        y = dsp.istft(spec, 512, 128, length=20000, threads=2)
        return np.abs(x - y).max()

    with ThreadPoolExecutor(8) as pool:
        # The largest of 40000 rounding errors of noise of size 1, a few times 1e-7 each.
        assert max(pool.map(one, range(40))) < 5e-6


def test_one_stream_shared_by_threads_stays_whole():
    stream = dsp.StftStream(1, 64, 16)
    block = np.ones((1, 100), np.float32)
    with ThreadPoolExecutor(4) as pool:
        frames = sum(part.shape[1] for part in pool.map(stream.process, [block] * 50))
    assert frames + stream.finish().shape[1] == 1 + 5000 // 16


def test_a_forked_child_can_go_on():
    # In a process of its own: this one has torch's threads, which Python warns about.
    program = """if True:
        import os, sys
        import numpy as np
        from stemsplit import dsp
        x = np.ones((2, 50000), np.float32)
        before = dsp.stft(x, 512, 128, threads=3)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(dsp.stft(x, 512, 128, threads=3), before) else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    # Python 3.12 warns whenever threads exist at a fork; that it works is what is tested here.
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], timeout=60, check=False
    )
    assert result.returncode == 0


def test_importing_the_transforms_does_not_import_torch():
    program = "import sys, stemsplit.dsp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
