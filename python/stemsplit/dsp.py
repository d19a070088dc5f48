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

Signal = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Masks = NDArray[np.float32]
Window = NDArray[np.float32] | NDArray[np.float64]


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
        complex64 ``(channels, frames, bins)`` to write into, in C order with contiguous rows;
        None makes a new array.
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
    _check_spread(spread)
    return _core.istft(
        spec, masks, spread, size("n_fft", n_fft), size("hop_length", hop_length), window,
        size("length", length), out, thread_count(threads), forced_kernel(),
    )  # fmt: skip


class Spread(_core.Spread):
    """How a row of values becomes a gain for every bin, linearly between two neighbours.

    Bin ``k`` gets ``(1 - weights[k]) * values[below[k]] + weights[k] * values[below[k] + 1]``.

    Parameters
    ----------
    below:
        Integers ``(bins,)``, from 0 to ``values - 2``.
    weights:
        float32 ``(bins,)``.
    values:
        How many a row has.

    Raises
    ------
    TypeError
        Something else than an array of integers, or of floats.
    ValueError
        Not as many weights as bins, or a value that is not there.
    """

    def __init__(self, below: NDArray[np.intp], weights: NDArray[np.float32], values: int) -> None:
        super().__init__(
            arguments.places("below", below),
            arguments.weights("weights", weights),
            size("values", values),
        )


def _check_spread(spread: Spread | None) -> None:
    if not isinstance(spread, Spread | None):
        raise TypeError(f"spread: got {type(spread).__name__}, wanted a Spread or None")


def band_powers(spec: Spectrum, edges: NDArray[np.intp], *, threads: int | None = None) -> Masks:
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


class StftStream:
    """`stft` of a signal that arrives block by block; the same frames, bit for bit.

    Parameters
    ----------
    channels:
        Channels of every block, at least 1.
    n_fft, hop_length, window, threads:
        As in `stft`.

    Raises
    ------
    ValueError
        A size outside the limits.
    """

    def __init__(
        self,
        channels: int,
        n_fft: int = 2048,
        hop_length: int = 512,
        window: Window | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self._stream = _core.StftStream(
            count("channels", channels), size("n_fft", n_fft), size("hop_length", hop_length),
            window, thread_count(threads), forced_kernel(),
        )  # fmt: skip

    def process(self, block: Signal) -> Spectrum:
        """Take the next samples, return the frames they complete.

        Parameters
        ----------
        block:
            float32 ``(channels, samples)``; 0 samples are fine.

        Returns
        -------
        complex64 ``(channels, frames, bins)``, perhaps of 0 frames. A frame is complete when no
        later sample can change it; of an odd number of channels, frames come in twos.

        Raises
        ------
        TypeError, ValueError
            A block of another dtype or shape, or a call after `finish`.
        """
        return self._stream.process(block)

    def finish(self) -> Spectrum:
        """Return the remaining frames, which reflect the signal's end.

        Returns
        -------
        complex64 ``(channels, frames, bins)``; with the frames before, ``1 + samples //
        hop_length`` in all.

        Raises
        ------
        ValueError
            No sample came in, or a second call.
        """
        return self._stream.finish()


class IstftStream:
    """`istft` or `apply_masks_istft` of frames that arrive block by block, bit for bit the same.

    Parameters
    ----------
    channels:
        Channels of every block, at least 1.
    n_fft, hop_length, window, threads:
        As in `istft`; ``hop_length`` at most ``n_fft / 2``.
    stems:
        Stems of the masks that come with every block; None inverts the spectra as they are.
    spread:
        How masks of fewer values than bins become one for each bin.

    Raises
    ------
    ValueError
        A size outside the limits, windows that do not overlap enough, or a spread without stems.
    """

    def __init__(
        self,
        channels: int,
        n_fft: int = 2048,
        hop_length: int = 512,
        window: Window | None = None,
        *,
        stems: int | None = None,
        spread: Spread | None = None,
        threads: int | None = None,
    ) -> None:
        if spread is not None and stems is None:
            raise ValueError("spread: got one without masks, wanted stems= beside it")
        _check_spread(spread)
        self._stream = _core.IstftStream(
            count("channels", channels), size("n_fft", n_fft), size("hop_length", hop_length),
            window, 0 if stems is None else count("stems", stems), spread, thread_count(threads),
            forced_kernel(),
        )  # fmt: skip

    def process(self, spec: Spectrum, masks: Masks | None = None) -> Signal:
        """Take the next frames, return the samples that no later frame can change.

        Parameters
        ----------
        spec:
            complex64 ``(channels, frames, bins)``; 0 frames are fine.
        masks:
            float32 ``(stems, channels or 1, frames, bins)`` where the stream has stems, else None;
            values in place of bins where it has a spread.

        Returns
        -------
        float32 ``(channels, samples)``, or ``(stems, channels, samples)`` where it has stems;
        perhaps of 0 samples.

        Raises
        ------
        TypeError, ValueError
            An array of another dtype or shape, or a call after `finish`.
        """
        return self._stream.process(spec, masks)

    def finish(self, length: int) -> Signal:
        """Return the remaining samples.

        Parameters
        ----------
        length:
            Samples in all, those before included.

        Returns
        -------
        float32 of shape as from `process`.

        Raises
        ------
        ValueError
            More samples than that were returned before, the frames do not cover so many, or a
            second call.
        """
        return self._stream.finish(size("length", length))


def hann_window(n_fft: int) -> Signal:
    """Periodic Hann window, ``0.5 - 0.5 cos(2 pi i / n_fft)``.

    Parameters
    ----------
    n_fft:
        Samples, at least 1.

    Returns
    -------
    float32 ``(n_fft,)``.

    Raises
    ------
    ValueError
        Less than one sample.
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
