"""Measures one track for a report, block by block: spectrogram, energy, levels, audio to play.

The spectrogram has a fixed number of columns and of rows at equal steps of pitch, so what is held
does not grow with the song; the audio goes to a temporary file in pieces a browser decodes one by
one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
import soundfile

from stemsplit import dsp
from stemsplit.resample import Resampler

Audio = npt.NDArray[np.float32]

PIECE_SECONDS = 10.0
_COLUMNS, _ROWS = 1000, 160
_LOWEST_HZ, _HIGHEST_HZ = 40.0, 20_000.0
_FRAME_SECONDS = 0.05
# What browsers promise to play without converting lies between 8 and 96 kHz.
_LOWEST_RATE, _HIGHEST_RATE = 8_000, 48_000


@dataclass(frozen=True)
class Scale:
    """The axes that all pictures of a song share.

    Parameters
    ----------
    sample_rate:
        Hz.
    samples:
        Length of the song, at least 1.
    """

    sample_rate: int
    samples: int

    @property
    def n_fft(self) -> int:
        """Samples per frame: the power of two nearest to 50 ms."""
        return int(2 ** min(max(round(math.log2(self.sample_rate * _FRAME_SECONDS)), 6), 16))

    @property
    def hop_length(self) -> int:
        """Samples between frames: a Hann window's half, at which nothing falls between."""
        return self.n_fft // 2

    @property
    def frames(self) -> int:
        """Frames of the song."""
        return 1 + self.samples // self.hop_length

    @property
    def columns(self) -> int:
        """Columns of the picture, each of one frame or more."""
        return min(self.frames, _COLUMNS)

    @property
    def top_hz(self) -> float:
        """Highest frequency of the picture."""
        return max(min(self.sample_rate / 2, _HIGHEST_HZ), 2 * _LOWEST_HZ)

    def height_of(self, hz: float) -> float:
        """Give where a frequency lies, from 0 at the bottom to 1 at the top."""
        return math.log(hz / _LOWEST_HZ) / math.log(self.top_hz / _LOWEST_HZ)

    def row_weights(self) -> Audio:
        """Give what each row takes of each bin: float32 (rows, bins), rows sum to 1.

        A row is the mean of the bins it covers; of one it covers a part of, that part.
        """
        edges = np.geomspace(_LOWEST_HZ, self.top_hz, _ROWS + 1) * self.n_fft / self.sample_rate
        bins = np.arange(self.n_fft // 2 + 1)
        upper = np.minimum(edges[1:, None], bins + 0.5)
        lower = np.maximum(edges[:-1, None], bins - 0.5)
        shares = np.maximum(upper - lower, 0)
        weights: Audio = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
        return weights


class Portrait:
    """What a report shows of one track. Feed it blocks, then `finish` it once.

    Parameters
    ----------
    scale:
        The song's axes.
    channels:
        Rows of every block.
    audio:
        A file open for binary reading and writing that takes the encoded audio.

    Attributes
    ----------
    power:
        float32 (columns, rows), mean power of each cell of the spectrogram; rows from low to high.
    energy:
        float64 (columns,), mean power of each column over all bins.
    peak:
        Largest absolute sample.
    """

    def __init__(self, scale: Scale, channels: int, audio: IO[bytes]) -> None:
        self.scale = scale
        self.power = np.zeros((scale.columns, _ROWS), np.float32)
        self.energy = np.zeros(scale.columns)
        self.peak = 0.0
        self._square_sum, self._count, self._frames = 0.0, 0, 0
        self._weights = scale.row_weights()
        self._stft = dsp.StftStream(channels, scale.n_fft, scale.hop_length)
        self._audio = _PieceWriter(scale.sample_rate, channels, audio)

    @property
    def rms(self) -> float:
        """Root mean square of all samples."""
        return math.sqrt(self._square_sum / max(self._count, 1))

    def add(self, block: Audio) -> None:
        """Take the next samples, float32 (channels, samples)."""
        self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
        self._square_sum += float(np.square(block, dtype=np.float64).sum())
        self._count += block.size
        self._add_frames(self._stft.process(block))
        self._audio.add(block)

    def finish(self) -> None:
        """Take what is left in the streams, and make sums into means."""
        self._add_frames(self._stft.finish())
        self._audio.finish()
        frames = np.bincount(self._columns_of(0, self.scale.frames), minlength=self.scale.columns)
        self.power /= frames[:, None].astype(np.float32)
        self.energy /= frames

    def pieces(self) -> Iterator[bytes]:
        """Give the audio, encoded: pieces of `PIECE_SECONDS`, the last one shorter."""
        return self._audio.pieces()

    @property
    def play_rate(self) -> int:
        """Sample rate of the encoded audio, Hz."""
        return self._audio.rate

    def _add_frames(self, spec: npt.NDArray[np.complex64]) -> None:
        if not spec.shape[1]:
            return
        power = np.mean(np.square(spec.real) + np.square(spec.imag), axis=0)
        columns = self._columns_of(self._frames, self._frames + len(power))
        self._frames += len(power)
        np.add.at(self.power, columns, power @ self._weights.T)
        np.add.at(self.energy, columns, power.mean(axis=1))

    def _columns_of(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        return np.arange(start, stop) * self.scale.columns // self.scale.frames


class _PieceWriter:
    """Cuts a track into pieces and encodes each as Ogg Vorbis, mono or stereo."""

    def __init__(self, sample_rate: int, channels: int, file: IO[bytes]) -> None:
        self.rate = min(max(sample_rate, _LOWEST_RATE), _HIGHEST_RATE)
        self._channels = channels if channels <= 2 else 1
        self._resampler = Resampler(self._channels, sample_rate, self.rate)
        self._piece = round(PIECE_SECONDS * self.rate)
        self._waiting = np.zeros((self._channels, 0), np.float32)
        self._file = file
        self._ends: list[int] = []

    def add(self, block: Audio) -> None:
        folded = block if len(block) <= 2 else block.mean(axis=0, keepdims=True)
        self._take(self._resampler.process(folded))

    def finish(self) -> None:
        self._take(self._resampler.finish())
        if self._waiting.shape[1]:
            self._encode(self._waiting)

    def pieces(self) -> Iterator[bytes]:
        start = 0
        for end in self._ends:
            self._file.seek(start)
            yield self._file.read(end - start)
            start = end

    def _take(self, block: Audio) -> None:
        self._waiting = np.concatenate((self._waiting, block), axis=1)
        while self._waiting.shape[1] >= self._piece:
            self._encode(self._waiting[:, : self._piece])
            self._waiting = self._waiting[:, self._piece :]

    def _encode(self, piece: Audio) -> None:
        encoded = io.BytesIO()
        with soundfile.SoundFile(
            encoded, "w", self.rate, self._channels, format="OGG", subtype="VORBIS"
        ) as file:
            # libsndfile keeps all of a write on the stack when it encodes Vorbis.
            for start in range(0, piece.shape[1], 4096):
                file.write(piece[:, start : start + 4096].T)
        self._file.write(encoded.getvalue())
        self._ends.append(self._file.tell())


def portrait_of(blocks: Iterator[Audio], channels: int, scale: Scale, audio: IO[bytes]) -> Portrait:
    """Measure a track that comes in blocks of float32 (channels, samples).

    ``audio`` is a file open for binary reading and writing, which the portrait's pieces stay in.
    """
    portrait = Portrait(scale, channels, audio)
    for block in blocks:
        portrait.add(block)
    portrait.finish()
    return portrait
