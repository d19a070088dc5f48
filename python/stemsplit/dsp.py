"""Short-time Fourier transforms on the CPU: one-shot and streaming, forward and inverse.

Arrays are NumPy's: signals float32 ``(channels, samples)``, spectra complex64 ``(channels, frames,
bins)``, masks float32 ``(stems, channels or 1, frames, bins)``. Frames are centred: frame ``f`` has
its middle on sample ``f * hop_length`` of the signal, which is reflected at both ends as
``numpy.pad`` does, and there are ``1 + samples // hop_length`` of them. Spectra are not scaled:
bin ``k`` of a frame ``x`` is ``sum(window * x * exp(-2j pi k n / n_fft))``, as in ``torch.stft``.

``n_fft`` is a power of two from 64 to 65536, ``hop_length`` 1 to ``n_fft``; the default window is
the periodic Hann window. Arrays that come back have rows padded to whole cache lines, so they are
not always contiguous; hand one back as ``out=`` to write into it again.

Work runs on up to ``threads`` threads without the GIL; the result does not depend on how many.
``STEMSPLIT_NUM_THREADS`` sets the default, ``STEMSPLIT_KERNEL`` forces one of
`available_kernels`. Two real frames share one complex transform: of a pair of channels or, of an
odd one, of neighbouring frames or stems. So the rounding error of either is relative to the louder
one, and a NaN or infinity in one reaches the other.

A process may fork while others transform; but a stream that another thread was using at that moment
is locked in the child for good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stemsplit import _core
from stemsplit import dsp_arguments as arguments
from stemsplit.dsp_arguments import count, forced_kernel, size, thread_count
from stemsplit.dsp_spread import Masks, Signal, Spectrum, Spread, Window, check_spread
from stemsplit.dsp_streams import IstftStream, StftStream

__all__ = [
    "IstftStream",
    "Spread",
    "StftStream",
    "apply_masks_istft",
    "available_kernels",
    "band_powers",
    "hann_window",
    "istft",
    "kernel_name",
    "stft",
]


def stft(
    x: Signal,
    n_fft: int = 2048,
    hop_length: int = 512,
    window: Window | None = None,
    *,
    out: Spectrum | None = None,
    threads: int | None = None,
) -> Spectrum:
    """Short-time Fourier transform of a signal.

    Parameters
    ----------
    x:
        float32 ``(channels, samples)``, at least one of each.
    n_fft:
        Samples per frame, a power of two from 64 to 65536.
    hop_length:
        Samples from one frame to the next, 1 to ``n_fft``.
    window:
        float32 or float64 ``(n_fft,)``; None means `hann_window`.
    out:
        complex64 ``(channels, frames, bins)`` to write into, in C order with contiguous rows, which
        shares no memory with ``x``; None makes a new array.
    threads:
        Most threads to use; None means ``STEMSPLIT_NUM_THREADS`` or else every CPU.

    Returns
    -------
    complex64 ``(channels, 1 + samples // hop_length, n_fft // 2 + 1)``; `out` where it was given.

    Raises
    ------
    TypeError
        An array of another dtype.
    ValueError
        A shape or size outside the limits, or an `out` that cannot be written to.
    """
    return _core.stft(
        x, size("n_fft", n_fft), size("hop_length", hop_length), window, out, thread_count(threads),
        forced_kernel(),
    )  # fmt: skip


def istft(
    spec: Spectrum,
    n_fft: int = 2048,
    hop_length: int = 512,
    window: Window | None = None,
    *,
    length: int,
    out: Signal | None = None,
    threads: int | None = None,
) -> Signal:
    """Invert `stft`: overlap-add, divided by the sum of the squared windows.

    The least-squares inverse of Griffin and Lim, "Signal estimation from modified short-time
    Fourier transform", 1984, equation 6.

    Parameters
    ----------
    spec:
        complex64 ``(channels, frames, bins)``, any strides.
    n_fft, hop_length, window, threads:
        As in `stft`.
    length:
        Samples to return. At each of them the sum of the squared windows must stay above 1e-6
        of its maximum.
    out:
        float32 ``(channels, length)`` to write into, in contiguous rows that share no memory with
        the inputs; None makes a new array.

    Returns
    -------
    float32 ``(channels, length)``; `out` where it was given.

    Raises
    ------
    TypeError
        An array of another dtype.
    ValueError
        A shape or size outside the limits, or windows that do not overlap enough.
    """
    return _core.istft(
        spec, None, None, size("n_fft", n_fft), size("hop_length", hop_length), window,
        size("length", length), out, thread_count(threads), forced_kernel(),
    )  # fmt: skip


def apply_masks_istft(
    spec: Spectrum,
    masks: Masks,
    n_fft: int = 2048,
    hop_length: int = 512,
    window: Window | None = None,
    *,
    length: int,
    spread: Spread | None = None,
    out: Signal | None = None,
    threads: int | None = None,
) -> Signal:
    """Multiply one spectrum with the masks of all stems and invert each, in one go.

    No masked spectrum is stored. ``(bins, frames)``-ordered masks, handed over as a transposed
    view, are turned round block by block, which costs time but no memory to speak of.

    Parameters
    ----------
    spec:
        complex64 ``(channels, frames, bins)``, any strides.
    masks:
        float32 ``(stems, channels or 1, frames, bins)``, any strides; one channel serves all.
    n_fft, hop_length, window, length, threads:
        As in `istft`.
    spread:
        How masks of fewer values than bins become one for each bin.
    out:
        float32 ``(stems, channels, length)`` to write into, as in `istft`; None makes a new array.

    Returns
    -------
    float32 ``(stems, channels, length)``; `out` where it was given.

    Raises
    ------
    TypeError
        An array of another dtype.
    ValueError
        A shape or size outside the limits, or windows that do not overlap enough.
    """
    if masks is None:
        raise TypeError("masks: got None, wanted a NumPy array of float32; istft() needs none")
    check_spread(spread)
    return _core.istft(
        spec, masks, spread, size("n_fft", n_fft), size("hop_length", hop_length), window,
        size("length", length), out, thread_count(threads), forced_kernel(),
    )  # fmt: skip


def band_powers(
    spec: Spectrum, edges: NDArray[np.intp], *, threads: int | None = None
) -> NDArray[np.float32]:
    """Sum the squared magnitudes of left, right, mid and side over the bins of each band.

    Parameters
    ----------
    spec:
        complex64 ``(2, frames, bins)``, any strides.
    edges:
        Integers ``(bands + 1,)``, rising: band ``b`` has the bins from ``edges[b]`` to before
        ``edges[b + 1]``.
    threads:
        As in `stft`.

    Returns
    -------
    float32 ``(frames, 4, bands)``; mid is half the sum of left and right, side half the difference.

    Raises
    ------
    TypeError
        An array of another dtype.
    ValueError
        Another shape, or edges that do not rise or end outside the spectrum.
    """
    return _core.band_powers(spec, arguments.places("edges", edges), thread_count(threads))


def hann_window(n_fft: int) -> Signal:
    """Periodic Hann window, ``0.5 - 0.5 cos(2 pi i / n_fft)``.

    Parameters
    ----------
    n_fft:
        Samples, 1 to 2**24.

    Returns
    -------
    float32 ``(n_fft,)``.

    Raises
    ------
    TypeError, ValueError
        No integer, or one outside the limits.
    """
    return _core.hann_window(count("n_fft", n_fft))


def kernel_name() -> str:
    """Name of the instruction set in use: the machine's best, or ``STEMSPLIT_KERNEL``.

    Raises
    ------
    ValueError
        ``STEMSPLIT_KERNEL`` names one that this machine does not have.
    """
    return _core.kernel_name(forced_kernel())


def available_kernels() -> list[str]:
    """Names of the instruction sets this machine can run, best first."""
    return _core.available_kernels()
