"""The transforms of what arrives in blocks; `stemsplit.dsp`, which offers them, tells the rest."""

from __future__ import annotations

from stemsplit import _core
from stemsplit.dsp_arguments import count, forced_kernel, size, thread_count
from stemsplit.dsp_spread import Masks, Signal, Spectrum, Spread, Window, check_spread


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
    TypeError, ValueError
        A size that is no integer or outside the limits; another window than `stft` takes.
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
    TypeError, ValueError
        A size that is no integer or outside the limits, another window than `istft` takes or one
        that does not overlap enough, or a spread without stems.
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
        check_spread(spread)
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
            An array of another dtype or shape, windows that do not cover the signal's first
            samples, or a call after `finish`.
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
