"""Room and place: reverberation from a drawn room, and panning between two channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

_DECAY_SECONDS = (0.2, 1.5)  # to -60 dB: from a booth to a hall
_WET_DB = (-20.0, -6.0)
_PREDELAY_SECONDS = (0.0, 0.03)
_DAMPING_HZ = (3_000.0, 10_000.0)  # above it, walls and air take the sound


def reverberate(audio: Audio, sample_rate: int, rng: np.random.Generator) -> Audio:
    """Add the sound of a random room: noise that dies away, another in each channel.

    Parameters
    ----------
    audio:
        float32 (channels, samples).
    sample_rate:
        Hz.
    rng:
        Draws the room: its decay, distance, damping and noise.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape; what would ring on after the end is cut off.
    """
    channels, samples = audio.shape
    decay, predelay = rng.uniform(*_DECAY_SECONDS), rng.uniform(*_PREDELAY_SECONDS)
    wet, damping = 10 ** (rng.uniform(*_WET_DB) / 20), rng.uniform(*_DAMPING_HZ)
    length = round(decay * sample_rate)
    # An amplitude of 10^-3 is -60 dB.
    envelope = 10 ** (-3 * np.arange(length) / length)
    room = rng.standard_normal((channels, length)) * envelope
    size = 1 << (samples + length + round(predelay * sample_rate) - 1).bit_length()
    spectrum = np.fft.rfft(room, size)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    spectrum /= np.sqrt(1 + (frequencies / damping) ** 2)
    # The room's energy, spread over the spectrum, becomes that of the direct sound times the gain.
    spectrum *= wet / np.sqrt(np.mean(np.square(np.abs(spectrum))))
    spectrum *= np.exp(-2j * np.pi * frequencies * predelay)
    ringing = np.fft.irfft(np.fft.rfft(audio, size) * spectrum, size)[:, :samples]
    reverberant: Audio = (audio + ringing).astype(np.float32)
    return reverberant


def panned(mono: Audio, place: float) -> Audio:
    """Put one channel between two, at equal power.

    Parameters
    ----------
    mono:
        float32 (samples,).
    place:
        From -1, left, to 1, right; at 0 both channels have the signal as it is.
    """
    angle = (place + 1) * np.pi / 4
    gains = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])
    stereo: Audio = (gains * mono).astype(np.float32)
    return stereo
