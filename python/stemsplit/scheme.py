"""How a model sees a spectrogram and how its answers become masks, by its card; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemsplit import dsp
from stemsplit.bands import Bands, band_features
from stemsplit.cards import ModelCard
from stemsplit.level import AS_IT_IS
from stemsplit.masks import full_band_masks, shares_of
from stemsplit.paper_features import network_magnitudes

FloatArray = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]


class Scheme(Protocol):
    """What stands between a spectrogram and a model's network, on both sides of it.

    Attributes
    ----------
    adds_up:
        Whether the masks of a bin sum to 1 over the stems, hard ones too.
    """

    adds_up: bool

    def see(self, spec: Spectrum, n_fft: int, gains: Sequence[float] = AS_IT_IS) -> FloatArray:
        """Give the network's input.

        Parameters
        ----------
        spec:
            complex64 (channels, frames, bins of n_fft).
        n_fft:
            Samples per frame.
        gains:
            How much louder the network hears it, see `stemsplit.level`.

        Returns
        -------
        numpy.ndarray
            float32 (batch, frames, ...).
        """

    def seen_shape(self, frames: int) -> tuple[int, ...]:
        """Give the shape of what `see` gives for so many frames of one or two channels."""

    def answers_shape(self, batch: int, frames: int) -> tuple[int, ...]:
        """Give the shape of the network's answers to so many frames, context not counted."""

    def known(self, answers: FloatArray, channels: int) -> FloatArray:
        """Give what the network says of the bins it knows.

        Parameters
        ----------
        answers:
            float32 (batch, stems, ..., frames, ...), the network's output.
        channels:
            Of the spectrogram.

        Returns
        -------
        numpy.ndarray
            float32 (stems, channels or 1, frames, known bins), 0 to 1.
        """

    def masks(self, answers: FloatArray, channels: int, bins: int, *, soft: bool) -> FloatArray:
        """Give masks: float32 (stems, channels or 1, frames, bins or values of `spread`).

        Parameters are those of `known`, and the spectrogram's bins; ``soft`` masks by probability
        instead of 0 and 1.
        """

    def spread(self, bins: int, *, soft: bool) -> dsp.Spread | None:
        """Give how the values of `masks` become gains of so many bins; None where they are."""


def scheme_of(card: ModelCard) -> Scheme:
    """Give the scheme of a model."""
    return BandScheme(card) if card.bands else PaperScheme(card)


class PaperScheme:
    """The paper's: one magnitude for all channels in, one probability a stem and bin out.

    A hard mask is 1 where a stem's own probability is above one half, whatever the others'.
    """

    adds_up = False

    def __init__(self, card: ModelCard) -> None:
        self._sources, self._bins, self._power = len(card.sources), card.bins, card.magnitude_power

    def seen_shape(self, frames: int) -> tuple[int, ...]:
        """Give (1, frames, network bins)."""
        return 1, frames, self._bins

    def answers_shape(self, batch: int, frames: int) -> tuple[int, ...]:
        """Give (batch, sources, frames, network bins)."""
        return batch, self._sources, frames, self._bins

    def see(self, spec: Spectrum, n_fft: int, gains: Sequence[float] = AS_IT_IS) -> FloatArray:  # noqa: ARG002
        """Give float32 (1, frames, network bins), without gains; see `Scheme.see`."""
        return network_magnitudes(spec, n_fft, self._bins, self._power)[None]

    def known(self, answers: FloatArray, channels: int) -> FloatArray:  # noqa: ARG002
        """Give float32 (stems, 1, frames, network bins); see `Scheme.known`."""
        known: FloatArray = answers[0][:, None]
        return known

    def masks(self, answers: FloatArray, channels: int, bins: int, *, soft: bool) -> FloatArray:
        """Cut at one half, or not; see `Scheme.masks`."""
        return full_band_masks(self.known(answers, channels), bins, soft=soft)

    def spread(self, bins: int, *, soft: bool) -> None:
        """Give None: its masks are of bins."""


class BandScheme:
    """Stereo in bands: masks for left and right that sum to 1 over the stems.

    Channels are taken in pairs, each pair by itself; a single channel, or the last of an odd
    number, is its own partner. A hard mask is 1 for the stem with the largest answer.
    """

    adds_up = True

    def __init__(self, card: ModelCard) -> None:
        self._sources, self._bins, self._power = len(card.sources), card.bins, card.magnitude_power
        self._bands = Bands(card.bins, card.bands, card.single_bands)
        each = np.eye(card.bands, dtype=np.float32)
        self._top_octave = self._bands.to_bins(each)[:, card.bins // 2 :].mean(axis=1)

    def seen_shape(self, frames: int) -> tuple[int, ...]:
        """Give (1, frames, 4, bands)."""
        return 1, frames, 4, self._bands.count

    def answers_shape(self, batch: int, frames: int) -> tuple[int, ...]:
        """Give (batch, sources, 2, frames, bands)."""
        return batch, self._sources, 2, frames, self._bands.count

    def see(self, spec: Spectrum, n_fft: int, gains: Sequence[float] = AS_IT_IS) -> FloatArray:
        """Give float32 (pairs, frames, 4, bands); see `Scheme.see`."""
        known = spec[..., : self._bins]
        pairs = [known[first : first + 2] for first in range(0, len(known), 2)]
        pairs[-1] = np.broadcast_to(pairs[-1], (2, *known.shape[1:]))
        seen = np.stack([band_features(pair, self._bands, n_fft, self._power) for pair in pairs])
        if gains != AS_IT_IS:
            seen *= np.power(gains, self._power, dtype=np.float32)[:, None, None, None]
        return seen

    def known(self, answers: FloatArray, channels: int) -> FloatArray:
        """Give float32 (stems, channels, frames, bins); see `Scheme.known`."""
        return self._bands.to_bins(self._by_channel(answers, channels))

    def _by_channel(self, answers: FloatArray, channels: int) -> FloatArray:
        """Give float32 (stems, channels, frames, bands)."""
        stems, frames = answers.shape[1], answers.shape[3]
        by_channel: FloatArray = answers.transpose(1, 0, 2, 3, 4).reshape(
            stems, -1, frames, self._bands.count
        )
        if channels % 2:  # the last is its own partner
            last = by_channel[:, channels - 1 :].mean(axis=1, keepdims=True)
            by_channel = np.concatenate((by_channel[:, : channels - 1], last), axis=1)
        return by_channel

    def spread(self, bins: int, *, soft: bool) -> dsp.Spread | None:
        """Give that of the bands for soft masks; hard ones are decided bin by bin."""
        return self._bands.spread(bins) if soft else None

    def masks(self, answers: FloatArray, channels: int, bins: int, *, soft: bool) -> FloatArray:
        """Give the largest answer all, or each its share; see `Scheme.masks`.

        Soft ones are in bands, with one more above the network's limit, see `full_band_masks`.
        """
        if soft:
            values = self._by_channel(answers, channels)
            if bins == self._bins:
                return values
            above = shares_of(values @ self._top_octave)
            return np.concatenate((values, above[..., None]), axis=3)
        return full_band_masks(self.known(answers, channels), bins, soft=soft, exclusive=True)
