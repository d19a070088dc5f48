"""Makes copies of songs whose stems are known, at other pitches and tempos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, Track, find_tracks, read_track
from stemsplit.errors import AudioError, MissingExtraError, UsageError
from stemsplit.making.collection import SAMPLE_RATE, Job, track_name

# Beyond an octave, or half the tempo more or less, nothing sounds like what songs are played on.
_MOST_SEMITONES, _MOST_TEMPO = 12.0, 50.0


@dataclass(frozen=True)
class VarySettings:
    """How far copies go from their songs.

    Attributes
    ----------
    semitones:
        The largest change of pitch, either way.
    tempo:
        The largest change of tempo, either way, in percent.
    copies:
        How many of each song.
    """

    semitones: float = 3.0
    tempo: float = 12.0
    copies: int = 1

    def __post_init__(self) -> None:
        for name, most in (("semitones", _MOST_SEMITONES), ("tempo", _MOST_TEMPO)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"bad {name}", got=value, wanted=f"0 to {most:g}")
        if self.copies < 1:
            raise UsageError("bad copies", got=self.copies, wanted="1 or more")


def vary_jobs(folders: Iterable[Path], output: Path, settings: VarySettings) -> list[Job]:
    """Give jobs that make copies of songs; all stems of a copy have one pitch and one tempo.

    Parameters
    ----------
    folders:
        Of songs as `stemsplit.dataset.find_tracks` finds them, with one or two channels.
    output:
        Where the copies go; not to where the songs are, as the next call would copy them, too.
    settings:
        See `VarySettings`.

    Raises
    ------
    InputError
        A folder that is missing or holds no track.
    UsageError
        Copies would be made of copies, or twice of one song.
    MissingExtraError
        There is no python-stretch.
    """
    stretching()
    folders = list(folders)
    for folder in folders:
        if output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"the copies would lie among the songs of {folder}",
                got=output,
                wanted="a folder outside",
            )
    tracks = [track for folder in folders for track in find_tracks(folder)]
    places = Counter(track.path.resolve() for track in tracks)
    twice = sorted(str(path) for path, count in places.items() if count > 1)
    if twice:
        raise UsageError("songs named twice", got=", ".join(twice), remedy="name a folder once")
    copies = range(1, settings.copies + 1)
    return [_job(track, copy, settings) for track in tracks for copy in copies]


def varied(audio: Audio, semitones: float, tempo: float, seed: int = 0) -> Audio:
    """Give a recording at another pitch and tempo, by Signalsmith Stretch (python-stretch).

    Parameters
    ----------
    audio:
        float32 (channels, samples) at 44.1 kHz.
    semitones:
        How much higher.
    tempo:
        How many times as fast.
    seed:
        Of the random phases with which it fills what a slower recording lacks.

    Returns
    -------
    Audio
        float32 (channels, samples / tempo, rounded). Channels that are equal still are.
    """
    channels, samples = audio.shape
    if channels > 1 and (audio == audio[0]).all():
        return np.repeat(varied(audio[:1], semitones, tempo, seed), channels, axis=0)
    wanted = round(samples / tempo)
    stretch = stretching().Stretch(seed)
    stretch.preset(channels, SAMPLE_RATE)
    stretch.setTransposeSemitones(semitones)
    stretch.setTimeFactor(tempo)
    # It knows no strides, and takes only what may be written to.
    plain = np.require(audio, np.float32, ["C_CONTIGUOUS", "WRITEABLE"])
    made: npt.NDArray[np.float32] = np.asarray(stretch.process(plain), np.float32)
    return np.pad(made[:, :wanted], ((0, 0), (0, max(0, wanted - made.shape[1]))))


def stretching() -> Any:
    """Import Signalsmith Stretch.

    Raises
    ------
    MissingExtraError
        It is not there.
    """
    try:
        from python_stretch import Signalsmith
    except ImportError as error:
        doing = "cannot change pitch and tempo"
        raise MissingExtraError.of(doing, "python_stretch", "dataset") from error
    return Signalsmith


def _job(track: Track, copy: int, settings: VarySettings) -> Job:
    def make(rng: np.random.Generator) -> dict[str, Audio]:
        semitones = rng.uniform(-settings.semitones, settings.semitones)
        tempo = 1 + rng.uniform(-settings.tempo, settings.tempo) / 100
        seed = int(rng.integers(1 << 31))
        stems = _stems(track)
        return {source: varied(stem, semitones, tempo, seed) for source, stem in stems.items()}

    return Job(f"{track_name(track.name)}-varied-{copy:02d}", make)


def _stems(track: Track) -> dict[str, Audio]:
    read = read_track(track)
    channels = read.stems.shape[1]
    if channels > 2:
        raise AudioError(f"too many channels in {track.path}", got=channels, wanted="1 or 2")
    stems = {source: read.stems[SOURCES.index(source)] for source in read.present}
    if read.sample_rate == SAMPLE_RATE:
        return stems
    return {
        source: soxr.resample(stem.T, read.sample_rate, SAMPLE_RATE, quality="VHQ").T
        for source, stem in stems.items()
    }
