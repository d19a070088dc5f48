"""What recordings differ in: a drawn tone, a drawn room, and a place between two channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemsplit import dsp

Audio = npt.NDArray[np.float32]
Tone = npt.NDArray[np.float64]

OCTAVES_HZ = 62.5 * 2.0 ** np.arange(9)
"""Where a tone has its gains."""

_TONE_FFT, _TONE_HOP = 4096, 2048
_DECAY_SECONDS = (0.2, 1.5)  # to -60 dB: from a booth to a hall
_WET_DB = (-20.0, -6.0)
_PREDELAY_SECONDS = (0.0, 0.03)
_DAMPING_HZ = (3_000.0, 10_000.0)  # above it, walls and air take the sound


def drawn_tone(spread_db: float, rng: np.random.Generator) -> Tone:
    """Draw a tone: gains at octaves.

    Parameters
    ----------
    spread_db:
        Their standard deviation.
    rng:
        Draws them.

    Returns
    -------
    numpy.ndarray
        float64 (9,), in dB, at `OCTAVES_HZ`.
    """
    return rng.normal(0, spread_db, len(OCTAVES_HZ))


def equalised(audio: Audio, sample_rate: int, tone: Tone) -> Audio:
    """Change the tone by gains at octaves, linear in dB and octaves between them.

    Parameters
    ----------
    audio:
        float32 (channels, samples).
    sample_rate:
        Hz.
    tone:
        See `drawn_tone`.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape.
    """
    frequencies = np.fft.rfftfreq(_TONE_FFT, 1 / sample_rate)
    curve_db = np.interp(np.log2(np.maximum(frequencies, 1)), np.log2(OCTAVES_HZ), tone)
    curve = (10 ** (curve_db / 20)).astype(np.float32)
    # So smooth a curve rings for less than a frame: filtered frame by frame it sounds the same.
    spectra = dsp.stft(np.ascontiguousarray(audio), _TONE_FFT, _TONE_HOP, threads=1)
    mask = np.broadcast_to(curve, (1, 1, *spectra.shape[1:]))
    length = audio.shape[1]
    toned = dsp.apply_masks_istft(spectra, mask, _TONE_FFT, _TONE_HOP, length=length, threads=1)
    equal: Audio = toned[0]
    return equal


@dataclass(frozen=True)
class Room:
    """A random room.

    Attributes
    ----------
    noise:
        float64 (channels, samples) that dies away by 60 dB: how it rings.
    predelay:
        Seconds before it does.
    wet:
        Its gain, relative to the direct sound.
    damping:
        Hz above which walls and air take the sound.
    """

    noise: npt.NDArray[np.float64]
    predelay: float
    wet: float
    damping: float


def drawn_room(channels: int, sample_rate: int, rng: np.random.Generator) -> Room:
    """Draw a room: its decay, distance, damping and noise, another one in each channel."""
    decay, predelay = rng.uniform(*_DECAY_SECONDS), rng.uniform(*_PREDELAY_SECONDS)
    wet, damping = 10 ** (rng.uniform(*_WET_DB) / 20), rng.uniform(*_DAMPING_HZ)
    length = round(decay * sample_rate)
    # An amplitude of 10^-3 is -60 dB.
    envelope = 10 ** (-3 * np.arange(length) / length)
    return Room(rng.standard_normal((channels, length)) * envelope, predelay, wet, damping)


def reverberate(audio: Audio, sample_rate: int, room: Room) -> Audio:
    """Add the sound of a room.

    Parameters
    ----------
    audio:
        float32 (channels, samples).
    sample_rate:
        Hz.
    room:
        See `drawn_room`, of as many channels.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape; what would ring on after the end is cut off.
    """
    samples = audio.shape[1]
    ringing = samples + room.noise.shape[1] + round(room.predelay * sample_rate)
    size = 1 << (ringing - 1).bit_length()
    spectrum = np.fft.rfft(room.noise, size)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    spectrum /= np.sqrt(1 + (frequencies / room.damping) ** 2)
    # The room's energy, spread over the spectrum, becomes that of the direct sound times the gain.
    spectrum *= room.wet / np.sqrt(np.mean(np.square(np.abs(spectrum))))
    spectrum *= np.exp(-2j * np.pi * frequencies * room.predelay)
    heard = np.fft.irfft(np.fft.rfft(audio, size) * spectrum, size)[:, :samples]
    reverberant: Audio = (audio + heard).astype(np.float32)
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
