"""How much memory a separation takes, by a stated model, and the segment that keeps a limit."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stemsplit.errors import UsageError

if TYPE_CHECKING:
    from stemsplit.infer import Predictor
    from stemsplit.models import ModelCard

LEAST_SEGMENT_SECONDS: Final = 0.5
"""A shorter segment saves hardly anything, and most of the work would be on its context."""

_MIB: Final = 1 << 20
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# What of a segment is held at a time, at the most: copies of its spectrogram, masks, stems'
# samples, and the network's widest layer. Counted from the pipeline, then fitted from above to
# measured peaks, which benchmarks/memory.py repeats.
_SPECTRA: Final = 6
_MASKS: Final = 4
_STEMS: Final = 6
# Of compact networks, as fine as the input, which has twice the bands of their finest level; the
# paper's convolutions of all sources at once need room of their own.
_LAYERS: Final = 11
_PAPER_LAYERS: Final = 7
# Blocks on their way to the first segment, and what libraries keep once they are used.
_BLOCK_SAMPLES: Final = 6 << 17
_LIBRARIES: Final = 80 * _MIB
_HELD_ELSEWHERE: Final = 512 * _MIB  # where the system does not tell; twice what Linux says


def parse_size(text: str) -> int:
    """Give the bytes of a size such as ``800M`` or ``1.5G``; units are powers of 1024.

    Raises
    ------
    UsageError
        It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    size = round(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if not size:
        raise UsageError("bad --max-memory", got=text, wanted="a size such as 800M or 2G")
    return size


def held_memory() -> int | None:
    """Give the bytes of memory this process holds; None where the system does not say."""
    return _from_proc("VmRSS") or _from_usage()


def peak_memory() -> int | None:
    """Give the most memory this process has held, in bytes; None where the system does not say."""
    # Linux's getrusage begins with the peak of the process that started this one.
    return _from_proc("VmHWM") or _from_usage()


def song_memory(
    predictor: Predictor,
    sample_rate: int,
    channels: int,
    segment_seconds: float,
    *,
    soft: bool | None = None,
    shifts: int = 1,
) -> int:
    """Estimate, from above, the bytes that separating a song adds to what a process holds.

    Parameters
    ----------
    predictor:
        The loaded model.
    sample_rate, channels:
        Of the song, in Hz and rows of every block.
    segment_seconds:
        Song predicted at a time, s.
    soft:
        Whether masks are soft, None for the model's own way: those in bands stay in bands.
    shifts:
        Separations side by side, each at a speed of its own (`stemsplit.shifts`); one at a time
        runs the network.
    """
    from stemsplit.pipeline import segment_frames
    from stemsplit.shifts import heard_rates

    card = predictor.card
    frames = segment_frames(card, segment_seconds)
    songs = sum(
        _song_at(card, rate, channels, frames, soft=card.soft if soft is None else soft)
        for rate in heard_rates(shifts, sample_rate)
    )
    if not predictor.on_host:
        return _LIBRARIES + songs
    pairs = -(-channels // 2) if card.bands else 1
    network = round(pairs * predictor.number_bytes * predictor.widest * (card.bands or card.bins))
    at_once = min(frames, predictor.frames_at_once) + predictor.context_again
    layers = _LAYERS if card.bands else _PAPER_LAYERS
    carried = pairs * predictor.carried_bytes
    return _LIBRARIES + songs + (shifts + 1) * carried + at_once * layers * network


def _song_at(card: ModelCard, sample_rate: int, channels: int, frames: int, *, soft: bool) -> int:
    """Estimate the bytes of what a song has on its way besides the network, taken at a rate."""
    from stemsplit.pipeline import working_settings

    settings = working_settings(card.settings, sample_rate)
    stems = len(card.sources)
    spectrum = 8 * channels * settings.bins
    masks = 4 * stems * channels * (card.bands + 1 if card.bands and soft else settings.bins)
    samples = 4 * stems * channels * settings.hop_length
    block_samples = _BLOCK_SAMPLES * settings.sample_rate // sample_rate
    return (
        block_samples * channels * 4 * settings.n_fft // settings.hop_length
        + frames * (_SPECTRA * spectrum + _MASKS * masks + _STEMS * samples)
        + 2 * card.context_frames * spectrum
    )


@dataclass(frozen=True)
class MemoryLimit:
    """A limit on the memory of this process, songs at a time included.

    Attributes
    ----------
    total:
        Bytes allowed.
    held:
        Bytes the process holds before the songs, the model among them.
    jobs:
        Songs at a time, which share the rest.
    """

    total: int
    held: int
    jobs: int = 1

    @classmethod
    def now(cls, total: int, jobs: int = 1) -> MemoryLimit:
        """Give the limit for a process that has loaded its model and begins its first song."""
        return cls(total, held_memory() or _HELD_ELSEWHERE, jobs)

    def segment_seconds(
        self,
        predictor: Predictor,
        sample_rate: int,
        channels: int,
        wanted: float,
        *,
        soft: bool | None = None,
        shifts: int = 1,
    ) -> float:
        """Give the longest segment that keeps the limit, at most what is wanted, s.

        Raises
        ------
        UsageError
            Not even the shortest does.
        """
        available = (self.total - self.held) // self.jobs
        least = min(wanted, LEAST_SEGMENT_SECONDS)

        def taken(seconds: float) -> int:
            return song_memory(predictor, sample_rate, channels, seconds, soft=soft, shifts=shifts)

        needed = taken(least)
        if needed > available:
            at_least = -(-(self.held + needed * self.jobs) // _MIB)
            raise UsageError(
                "--max-memory is too little",
                got=f"{self.total // _MIB}M",
                wanted=f"at least {at_least}M for {channels} channel{'s' if channels > 1 else ''}"
                + f" at {sample_rate} Hz"
                + (f", {self.jobs} songs at a time" if self.jobs > 1 else ""),
            )
        if taken(wanted) <= available:
            return wanted
        low, high = least, wanted
        while high - low > 0.01:  # monotone in the segment
            middle = (low + high) / 2
            fits = taken(middle) <= available
            low, high = (middle, high) if fits else (low, middle)
        return round(low - 0.005, 2) if low > least else least


def _from_proc(key: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _from_usage() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
