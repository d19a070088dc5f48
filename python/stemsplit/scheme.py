"""How a model sees a spectrogram and how its answers become masks, by its card; without torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemsplit.bands import Bands, band_features
from stemsplit.cards import ModelCard
from stemsplit.features import network_magnitudes
from stemsplit.masks import full_band_masks

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

    def see(self, spec: Spectrum, n_fft: int) -> FloatArray:
        """Give the network's input.

        Parameters
        ----------
        spec:
            complex64 (channels, frames, bins of n_fft).
        n_fft:
            Samples per frame.

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
        """Give masks of all bins: float32 (stems, channels or 1, frames, bins).

        Parameters are those of `known`; ``soft`` masks by probability instead of 0 and 1.
        """


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

    def see(self, spec: Spectrum, n_fft: int) -> FloatArray:
        """Give float32 (1, frames, network bins); see `Scheme.see`."""
        return network_magnitudes(spec, n_fft, self._bins, self._power)[None]

    def known(self, answers: FloatArray, channels: int) -> FloatArray:  # noqa: ARG002
        """Give float32 (stems, 1, frames, network bins); see `Scheme.known`."""
        known: FloatArray = answers[0][:, None]
        return known

    def masks(self, answers: FloatArray, channels: int, bins: int, *, soft: bool) -> FloatArray:
        """Cut at one half, or not; see `Scheme.masks`."""
        return full_band_masks(self.known(answers, channels), bins, soft=soft)


class BandScheme:
    """Stereo in bands: masks for left and right that sum to 1 over the stems.

    Channels are taken in pairs, each pair by itself; a single channel, or the last of an odd
    number, is its own partner. A hard mask is 1 for the stem with the largest answer.
    """

    adds_up = True

    def __init__(self, card: ModelCard) -> None:
        self._sources, self._bins, self._power = len(card.sources), card.bins, card.magnitude_power
        self._bands = Bands(card.bins, card.bands, card.single_bands)

    def seen_shape(self, frames: int) -> tuple[int, ...]:
        """Give (1, frames, 4, bands)."""
        return 1, frames, 4, self._bands.count

    def answers_shape(self, batch: int, frames: int) -> tuple[int, ...]:
        """Give (batch, sources, 2, frames, bands)."""
        return batch, self._sources, 2, frames, self._bands.count

    def see(self, spec: Spectrum, n_fft: int) -> FloatArray:
        """Give float32 (pairs, frames, 4, bands); see `Scheme.see`."""
        known = np.ascontiguousarray(spec[..., : self._bins])
        if len(known) % 2:
            known = np.concatenate((known, known[-1:]))
        pairs = known.reshape(len(known) // 2, 2, *known.shape[1:])  # of no frames, too
        seen = [band_features(pair, self._bands, n_fft, self._power) for pair in pairs]
        features: FloatArray = np.stack(seen).transpose(0, 2, 1, 3)
        return features

    def known(self, answers: FloatArray, channels: int) -> FloatArray:
        """Give float32 (stems, channels, frames, bins); see `Scheme.known`."""
        stems, frames = answers.shape[1], answers.shape[3]
        by_channel = answers.transpose(1, 0, 2, 3, 4).reshape(stems, -1, frames, self._bands.count)
        if channels % 2:
            by_channel[:, channels - 1] += by_channel[:, channels]
            by_channel[:, channels - 1] /= 2
        return self._bands.to_bins(by_channel[:, :channels])

    def masks(self, answers: FloatArray, channels: int, bins: int, *, soft: bool) -> FloatArray:
        """Give the largest answer all, or each its share; see `Scheme.masks`."""
        return full_band_masks(self.known(answers, channels), bins, soft=soft, exclusive=True)
