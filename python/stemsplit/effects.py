"""What recordings differ in: a drawn tone, a drawn room, and a place between two channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemsplit import dsp

Audio = npt.NDArray[np.float32]

_TONE_FFT, _TONE_HOP = 4096, 2048
_OCTAVES_HZ = 62.5 * 2.0 ** np.arange(9)
_DECAY_SECONDS = (0.2, 1.5)  # to -60 dB: from a booth to a hall
_WET_DB = (-20.0, -6.0)
_PREDELAY_SECONDS = (0.0, 0.03)
_DAMPING_HZ = (3_000.0, 10_000.0)  # above it, walls and air take the sound


def equalised(audio: Audio, sample_rate: int, spread_db: float, rng: np.random.Generator) -> Audio:
    """Change the tone by random gains at octaves, linear in dB and octaves between them.

    Parameters
    ----------
    audio:
        float32 (channels, samples).
    sample_rate:
        Hz.
    spread_db:
        The gains' standard deviation.
    rng:
        Draws them.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape.
    """
    gains_db = rng.normal(0, spread_db, len(_OCTAVES_HZ))
    frequencies = np.fft.rfftfreq(_TONE_FFT, 1 / sample_rate)
    curve_db = np.interp(np.log2(np.maximum(frequencies, 1)), np.log2(_OCTAVES_HZ), gains_db)
    curve = (10 ** (curve_db / 20)).astype(np.float32)
    # So smooth a curve rings for less than a frame: filtered frame by frame it sounds the same.
    spectra = dsp.stft(np.ascontiguousarray(audio), _TONE_FFT, _TONE_HOP, threads=1)
    mask = np.broadcast_to(curve, (1, 1, *spectra.shape[1:]))
    length = audio.shape[1]
    toned = dsp.apply_masks_istft(spectra, mask, _TONE_FFT, _TONE_HOP, length=length, threads=1)
    equal: Audio = toned[0]
    return equal


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
