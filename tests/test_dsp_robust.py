"""Arrays of every shape, layout and dtype; sizes beyond memory; threads, forks and leaks."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit import dsp

N_FFT, HOP = 64, 16
DTYPES = ["float32", "float64", "complex64", "complex128", ">f4", "int16", "bool", "O", "S4"]


@st.composite
def arrays(draw, ndim):
    """Any array: a slice of a larger one, perhaps reversed, transposed, repeated or unaligned."""
    dtype = np.dtype(draw(st.sampled_from(["float32", "complex64"] * 4 + DTYPES)))
    dimensions = draw(st.sampled_from([ndim] * 6 + [0, 1, 2, 3, 4, 5]))
    sizes = st.sampled_from([0, 1, 1, 2, 2, 3, 5, 33, 33, 40])
    shape = tuple(draw(sizes) for _ in range(dimensions))
    kind = draw(st.sampled_from(["plain", "sliced", "fortran", "repeated", "unaligned"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.standard_normal(shape)
    if kind == "repeated" and shape:
        values = values[:1]
    if kind == "sliced" and shape:
        values = np.repeat(values, 2, axis=-1)
    array = values.astype(dtype)
    if kind == "repeated" and shape and shape[0]:
        return np.broadcast_to(array, shape)
    if kind == "sliced" and shape:
        return array[..., ::-2] if draw(st.booleans()) else array[..., ::2]
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "unaligned" and not dtype.hasobject and array.size:
        raw = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:]
        return np.ndarray(shape, dtype, raw)
    return array


def outcome(call):
    """Return what a call returns, or which of the two promised errors it raises."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        message, kind = str(error), type(error)
    assert ": got " in message
    return kind


def packed(array):
    return np.array(array, order="C")


def assert_same(one, other):
    if isinstance(one, type) or isinstance(other, type):
        assert one is other
    else:
        assert np.array_equal(one, other)


@settings(max_examples=80)
@given(x=arrays(2), spec=arrays(3), masks=arrays(4), length=st.integers(0, 700))
def test_any_array_gives_the_same_as_its_packed_copy_or_an_error(x, spec, masks, length):
    spec = spec.view() if spec.ndim != 3 else spec[..., :33]
    for a, b in [
        (lambda: dsp.stft(x, N_FFT, HOP), lambda: dsp.stft(packed(x), N_FFT, HOP)),
        (
            lambda: dsp.istft(spec, N_FFT, HOP, length=length),
            lambda: dsp.istft(packed(spec), N_FFT, HOP, length=length),
        ),
        (
            lambda: dsp.apply_masks_istft(spec, masks, N_FFT, HOP, length=length),
            lambda: dsp.apply_masks_istft(packed(spec), packed(masks), N_FFT, HOP, length=length),
        ),
        (
            lambda: dsp.StftStream(2, N_FFT, HOP).process(x),
            lambda: dsp.StftStream(2, N_FFT, HOP).process(packed(x)),
        ),
        (
            lambda: dsp.IstftStream(2, N_FFT, HOP, stems=3).process(spec, masks),
            lambda: dsp.IstftStream(2, N_FFT, HOP, stems=3).process(packed(spec), packed(masks)),
        ),
    ]:
        assert_same(outcome(a), outcome(b))


@settings(max_examples=60)
@given(start=st.integers(0, 400), step=st.sampled_from([1, 2, 3]), reverse=st.booleans())
def test_an_output_over_an_input_is_refused(start, step, reverse):
    pool = np.zeros(4000, np.float32)
    x = pool[:200].reshape(1, 200)
    wanted = dsp.stft(x, N_FFT, HOP).shape
    room = pool[start : start + 2 * 33 * wanted[1] * step].view(np.complex64)
    out = room[: 33 * wanted[1]].reshape(wanted)
    out = out[:, ::-1] if reverse else out
    refused = outcome(lambda: dsp.stft(x, N_FFT, HOP, out=out)) is ValueError
    assert refused == (start < 200 or reverse)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dsp.IstftStream(2**24, 64, 16, stems=2**24),
        lambda: dsp.IstftStream(2**24, 65536, 1),
        lambda: dsp.istft(
            np.broadcast_to(np.zeros((1, 9, 33), np.complex64), (2**36, 9, 33)), 64, 16, length=99
        ),
        lambda: dsp.apply_masks_istft(
            np.zeros((2, 9, 33), np.complex64),
            np.broadcast_to(np.zeros((1, 1, 9, 33), np.float32), (2**40, 1, 9, 33)),
            64,
            16,
            length=99,
        ),
        lambda: dsp.stft(np.broadcast_to(np.zeros((1, 99), np.float32), (2**50, 99)), 64, 16),
        lambda: dsp.StftStream(2**24, 64, 16).process(
            np.broadcast_to(np.zeros((1, 2**20), np.float32), (2**24, 2**20))
        ),
    ],
)
def test_sizes_beyond_memory(call):
    with pytest.raises(MemoryError):
        call()


def test_a_product_beyond_64_bits():
    """It would wrap to 0, of which there is always enough."""
    with pytest.raises(MemoryError):
        dsp.IstftStream(2**24, 65536, 32768, stems=2**24)


def test_streams_come_and_go_in_many_threads():
    x = np.random.default_rng(0).standard_normal((2, 6000)).astype(np.float32)
    wanted = dsp.stft(x, 256, 64, threads=1)
    together = threading.Barrier(8)

    def one(number):
        together.wait()
        good = True
        for round_number in range(12):
            stream = dsp.StftStream(2, 256, 64, threads=1 + number % 3)
            cut = 500 * (1 + (number + round_number) % 7)
            parts = [stream.process(x[:, :cut]), stream.process(x[:, cut:])]
            if round_number % 3:
                parts.append(stream.finish())
                good &= np.array_equal(np.concatenate(parts, axis=1), wanted)
            inverse = dsp.IstftStream(2, 256, 64, threads=2)
            inverse.process(wanted)
            if round_number % 2:
                inverse.finish(6000)
        return good

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(8)))


def test_children_of_a_busy_process_can_go_on():
    # In a process of its own: this one has torch's threads. Forks while other threads transform.
    program = """if True:
        import os, sys, threading
        import numpy as np
        from stemsplit import dsp
        x = np.random.default_rng(0).standard_normal((2, 40000)).astype(np.float32)
        before = dsp.stft(x, 512, 128, threads=3)
        done = threading.Event()
        def work():
            while not done.is_set():
                dsp.istft(before, 512, 128, length=40000, threads=3)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                stream = dsp.StftStream(2, 512, 128, threads=3)
                parts = [stream.process(x), stream.finish()]
                same = np.array_equal(np.concatenate(parts, axis=1), before)
                os._exit(0 if same else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        done.set()
        for thread in threads:
            thread.join()
        sys.exit(any(codes))
    """
    # Python 3.12 warns whenever threads exist at a fork; that it works is what is tested here.
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        timeout=120,
        check=False,
    )
    assert result.returncode == 0


def test_a_daemon_thread_in_a_call_lets_the_process_end():
    """Before Python 3.14 it comes back to an interpreter that is being taken down."""
    program = """if True:
        import threading, time
        import numpy as np
        from stemsplit import dsp
        x = np.zeros((2, 200_000), np.float32)
        calls = []
        def work():
            while True:
                calls.append(dsp.stft(x, threads=1).shape)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        while len(calls) < 9:
            time.sleep(0.001)
    """
    for _ in range(3):  # as it is a matter of a moment
        result = subprocess.run(
            [sys.executable, "-c", program], timeout=60, check=False, capture_output=True, text=True
        )
        assert (result.returncode, result.stderr) == (0, "")


def test_ten_thousand_calls_leak_nothing():
    program = """if True:
        import numpy as np
        from stemsplit import dsp
        from stemsplit.memory import peak_memory
        x = np.ones((2, 500), np.float32)
        spec = dsp.stft(x, 64, 16)
        masks = np.ones((2, 1, *spec.shape[1:]), np.float32)
        window = np.hanning(64)
        def calls(count):
            for _ in range(count):
                dsp.stft(x[:, ::-1], 64, 16, window)
                dsp.apply_masks_istft(spec, masks, 64, 16, length=500, threads=2)
                stream = dsp.StftStream(2, 64, 16)
                stream.process(x)
                stream.finish()
                inverse = dsp.IstftStream(2, 64, 16, stems=2)
                inverse.process(spec, masks)
                try:
                    dsp.stft(x, 63, 16)
                except ValueError:
                    pass
        calls(1000)
        before = peak_memory()
        calls(10_000)
        print(peak_memory() / before)
    """
    result = subprocess.run(
        [sys.executable, "-c", program], timeout=300, check=True, capture_output=True, text=True
    )
    # A leak of 64 bytes in each round would be 0.6 MB, 2% of what Python and NumPy occupy.
    assert float(result.stdout) < 1.01


def test_a_copy_is_numpys_own():
    """Where a subclass has another one."""

    class Odd(np.ndarray):
        def copy(self, *_order):
            return np.zeros(self.shape, np.float64)

    x = np.random.default_rng(0).standard_normal((2, 2000)).astype(np.float32)[:, ::2]
    np.testing.assert_array_equal(dsp.stft(x.view(Odd), 64, 16), dsp.stft(x, 64, 16))


def test_gains_are_the_same_from_masks_of_any_layout():
    """Infinite where no bin looks, which a product with zero would not hide."""
    spread = dsp.Spread(np.arange(33), np.zeros(33, np.float32), 35)
    spec = dsp.stft(np.ones((1, 1000), np.float32), 64, 16)
    masks = np.ones((1, 1, spec.shape[1], 35), np.float32)
    masks[..., 33:] = np.inf
    turned = np.ascontiguousarray(masks.swapaxes(2, 3)).swapaxes(2, 3)
    for given_masks in (masks, turned):
        out = dsp.apply_masks_istft(spec, given_masks, 64, 16, length=1000, spread=spread)
        assert np.isfinite(out).all()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_block_that_was_beyond_memory_may_come_again():
    script = """
import resource
import numpy as np
from stemsplit import dsp

x = np.random.default_rng(0).standard_normal((2, 200_000)).astype(np.float32)
stream = dsp.StftStream(2, 65536, 16384, threads=1)
stream.process(x[:, :30_000])  # too little for a frame, for which the core would need memory
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
failed = 0
for spare in range(0, 64 << 20, 64 << 10):
    resource.setrlimit(resource.RLIMIT_AS, (taken + spare, before[1]))
    try:
        middle = stream.process(x[:, 30_000:])
        break
    except MemoryError:
        failed += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
assert failed, "there was memory from the first"
got = np.concatenate((middle, stream.finish()), axis=1)
np.testing.assert_array_equal(got, dsp.stft(x, 65536, 16384, threads=1))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
