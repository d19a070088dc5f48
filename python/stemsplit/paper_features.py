"""What the paper's network sees of a spectrogram, and what it is taught to answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemsplit import dsp
from stemsplit.config import StftSettings
from stemsplit.signals import Spectrum, binary_target, downmix_magnitude

FloatArray = npt.NDArray[np.float32]


def network_magnitudes(spec: Spectrum, n_fft: int, bins: int, power: float) -> FloatArray:
    """Give the magnitudes the network sees: downmixed, scaled and compressed.

    Channels are joined by their root mean square. A sine of full scale has magnitude 1 whatever
    ``n_fft`` (the periodic Hann window's gain is ``n_fft / 4`` a side), before the compression.

    Parameters
    ----------
    spec:
        complex64 (channels, frames, bins of n_fft).
    n_fft:
        Samples per frame.
    bins:
        How many of the lowest bins the network sees.
    power:
        Exponent of the compression.

    Returns
    -------
    numpy.ndarray
        float32 (frames, bins).
    """
    magnitude = downmix_magnitude(spec[..., :bins])[0]
    seen: FloatArray = np.power(magnitude * np.float32(4 / n_fft), np.float32(power))
    return seen


def teaching_pair(
    stems: npt.NDArray[np.float32],
    mixture: npt.NDArray[np.float32],
    settings: StftSettings,
    bins: int,
    power: float,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Give what the network sees of a mixture and the binary masks it should answer.

    Parameters
    ----------
    stems:
        float32 (stems, channels, samples).
    mixture:
        float32 (channels, samples).
    settings:
        Geometry of the spectrogram.
    bins, power:
        As `network_magnitudes` takes them.

    Returns
    -------
    tuple
        Magnitudes, float32 (frames, bins), and targets, bool (stems, frames, bins): where a
        source's downmixed magnitude exceeds that of the mixture without it.
    """
    spec = dsp.stft(mixture, settings.n_fft, settings.hop_length)[..., :bins]
    magnitudes = network_magnitudes(spec, settings.n_fft, bins, power)
    targets = np.empty((len(stems), *magnitudes.shape), np.bool_)
    for target, stem in zip(targets, stems, strict=True):
        source = dsp.stft(stem, settings.n_fft, settings.hop_length)[..., :bins]
        target[:] = binary_target(source, spec - source, downmix=True)[0]
    return magnitudes, targets
