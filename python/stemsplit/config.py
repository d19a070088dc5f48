"""The settings that travel together: sources, STFT geometry. Frozen, validated once."""

from __future__ import annotations

from dataclasses import dataclass

from stemsplit.errors import UsageError

SOURCES: tuple[str, ...] = ("vocals", "drums", "bass", "other")
"""The four sources, in the order every array with a stems axis keeps."""

MIN_N_FFT = 64
MAX_N_FFT = 65536
MAX_SHIFTS = 32
SEGMENT_SECONDS = 10.0
"""Song that is separated at a time, unless something else is asked for."""


@dataclass(frozen=True)
class StftSettings:
    """The geometry of a spectrogram.

    Parameters
    ----------
    sample_rate:
        Hz.
    n_fft:
        Samples per frame, a power of two from 64 to 65536.
    hop_length:
        Samples between the centres of neighbouring frames, at most 31/64 of ``n_fft``.

    Raises
    ------
    UsageError
        A value outside those limits.
    """

    sample_rate: int
    n_fft: int
    hop_length: int

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise UsageError("bad sample rate", got=self.sample_rate, wanted="at least 1 Hz")
        if not MIN_N_FFT <= self.n_fft <= MAX_N_FFT or self.n_fft & (self.n_fft - 1):
            raise UsageError(
                "bad n_fft", got=self.n_fft, wanted=f"a power of two, {MIN_N_FFT} to {MAX_N_FFT}"
            )
        # Beyond, a song may end where the window of its last frame is too close to zero to divide.
        longest = self.n_fft * 31 // 64
        if not 1 <= self.hop_length <= longest:
            raise UsageError(
                "bad hop_length", got=self.hop_length, wanted=f"1 to 31/64 of n_fft = {longest}"
            )

    @property
    def bins(self) -> int:
        """Bins of the half spectrum: ``n_fft // 2 + 1``."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Frames of a signal of that many samples: ``1 + samples // hop_length``."""
        return 1 + samples // self.hop_length


def checked_shifts(shifts: int, option: str = "shifts") -> int:
    """Give a number of shifts that makes sense.

    Raises
    ------
    UsageError
        Another.
    """
    if not 1 <= shifts <= MAX_SHIFTS:
        raise UsageError(f"bad {option}", got=shifts, wanted=f"1 to {MAX_SHIFTS}")
    return shifts
