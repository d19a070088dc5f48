"""Training examples: seeded random remixes of stored stems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemsplit.config import SOURCES
from stemsplit.effects import drawn_room, drawn_tone
from stemsplit.errors import InputError, UsageError
from stemsplit.material import ACTIVE_DB, StoredTrack
from stemsplit.parts import HALF_POWER, Part, made

# Mean levels of MUSDB18's stems, RMS in dB of full scale, in the order of SOURCES.
_TYPICAL_DB = (-22.0, -24.0, -24.0, -23.0)
_BACKING_DB = -19.0  # and of the sum of its drums, bass and other
_VOCALS, _OTHER = SOURCES.index("vocals"), SOURCES.index("other")
_EXCERPT_TRIES = 8


@dataclass(frozen=True)
class RemixSettings:
    """How examples are drawn.

    Attributes
    ----------
    coherent:
        Share of examples whose stems come from one moment of one song.
    borrowed:
        How often a stem of such an example comes from another song all the same, so that each
        voice is heard over many a band.
    absent:
        How often a source is missing from the other examples.
    doubled:
        How often a stem gets a second one of its source from anywhere, as where two sing or the
        others are more.
    level_spread_db, gain_spread_db:
        Standard deviations of each stem's level around the typical one of its source, and of the
        whole example's gain.
    swap, flip:
        How often a stem's channels change places, and its polarity its sign.
    varispeed:
        Largest change of speed, and with it of pitch, as on tape: 0.12 is up to 12 % either way.
        All stems of a coherent example change alike.
    equalise_db:
        Standard deviation of each stem's random tone: gains an octave apart, lines between them.
    reverb:
        How often a stem gets a random room, see `stemsplit.effects.drawn_room`.
    pan:
        How often a stem whose channels are equal gets a random place between them.
    """

    coherent: float = 0.5
    borrowed: float = 0.0
    absent: float = 0.1
    doubled: float = 0.0
    level_spread_db: float = 4.0
    gain_spread_db: float = 4.0
    swap: float = 0.5
    flip: float = 0.5
    varispeed: float = 0.0
    equalise_db: float = 0.0
    reverb: float = 0.0
    pan: float = 0.0

    def __post_init__(self) -> None:
        for name in ("coherent", "borrowed", "absent", "doubled", "swap", "flip", "reverb", "pan"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="0 to 1")
        if not 0 <= self.varispeed <= 0.5:
            raise UsageError("bad varispeed", got=self.varispeed, wanted="0 to 0.5")
        for name in ("level_spread_db", "gain_spread_db", "equalise_db"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="0 or more")


@dataclass(frozen=True)
class Drawn:
    """An example that is drawn and not yet made.

    Attributes
    ----------
    stems:
        The parts of each stem, in the order of `SOURCES`: none where it is silent, two of half the
        power each where it is doubled.
    gain:
        Of the whole.
    split:
        False where ``other`` is the voice's whole backing, drums and bass among it.
    """

    stems: tuple[tuple[Part, ...], ...]
    gain: np.float32
    split: bool

    @property
    def highest_hz(self) -> float:
        """Where the first of its recordings ends: above, nobody knows what is whose."""
        limits = [part.highest_hz for parts in self.stems for part in parts]
        return min(limits, default=math.inf)


@dataclass(frozen=True)
class Example:
    """A mixture to learn from.

    Attributes
    ----------
    stems:
        float32 (4 stems, 2 channels, samples), in the order of `SOURCES`.
    split, highest_hz:
        See `Drawn`.
    """

    stems: npt.NDArray[np.float32]
    split: bool
    highest_hz: float = math.inf


class Remixer:
    """Draws training examples: four stems of one moment of a song, or of four songs.

    Every stem is brought to the typical level of its source, with a spread. Songs are drawn in
    proportion to their weight times the square root of their length, and moments in which the
    stem sounds are preferred. An example depends on its seed alone, never on what was drawn before.
    Tracks that are a voice's backing lend nothing; drawn as songs they get a voice of another song
    where they have none of their own.

    Parameters
    ----------
    tracks:
        To draw from.
    samples:
        Length of an example.
    settings:
        See `RemixSettings`.

    Raises
    ------
    InputError
        No track has one of the sources, none is a song that sounds and examples of one are
        wanted, or a backing is silent.
    """

    def __init__(
        self, tracks: list[StoredTrack], samples: int, settings: RemixSettings | None = None
    ) -> None:
        self.samples = samples
        self.settings = settings or RemixSettings()
        self._by_source = {
            source: [track for track in tracks if source in track.stems and not track.backing]
            for source in SOURCES
        }
        for source, having in self._by_source.items():
            if not having:
                raise InputError(
                    f"no training track has {source}", wanted="at least one track of every source"
                )
        for track in tracks:
            if track.backing and SOURCES[_OTHER] not in track.stems:
                raise InputError(
                    f"nothing sounds in the backing {track.name}",
                    wanted=f"a stem {SOURCES[_OTHER]} with all but the voice",
                    remedy="remove the track from its collection",
                )
        self._songs = [track for track in tracks if track.coherent and track.stems]
        if self.settings.coherent and not self._songs:
            raise InputError(
                "no training track may stand for a whole song",
                remedy="set coherent = 0 in [remix], or leave it true for one of [[data]]",
            )

    def example(self, seed: tuple[int, ...]) -> Example:
        """Draw an example and make it."""
        drawn = self.drawn(seed)
        stems = np.zeros((len(SOURCES), 2, self.samples), np.float32)
        for stem, parts in zip(stems, drawn.stems, strict=True):
            for part in parts:
                stem += made(part, self.samples)
            if len(parts) > 1:
                stem *= np.float32(HALF_POWER)
        stems *= drawn.gain
        return Example(stems, drawn.split, drawn.highest_hz)

    def drawn(self, seed: tuple[int, ...]) -> Drawn:
        """Draw an example."""
        rng = np.random.default_rng(seed)
        whole = _draw(self._songs, rng) if rng.random() < self.settings.coherent else None
        if whole is not None and whole.backing:
            stems, split = self._sung_over(whole, rng), False
        else:
            stems, split = self._mixed(whole, rng), True
        gain = np.float32(10 ** (rng.normal(0, self.settings.gain_spread_db) / 20))
        return Drawn(tuple(tuple(parts) for parts in stems), gain, split)

    def _mixed(self, whole: StoredTrack | None, rng: np.random.Generator) -> list[list[Part]]:
        """Draw four stems, those of a song or of several."""
        settings = self.settings
        stems: list[list[Part]] = [[] for _ in SOURCES]
        song = None
        if whole is not None:
            speed = self._speed(rng)
            source = str(rng.choice(sorted(whole.stems)))
            song = (whole, self._moment(whole, source, speed, rng), speed)
        for index, source in enumerate(SOURCES):
            # What is off draws nothing, so that recipes without it draw as before.
            borrowed = settings.borrowed and rng.random() < settings.borrowed
            if song is None or borrowed:
                if song is None and rng.random() < settings.absent:
                    continue
                stems[index].append(self._lent(index, rng))
            elif source in song[0].stems:
                track, start, speed = song
                stems[index].append(self._augmented(track, index, start, speed, rng))
            else:
                continue
            if settings.doubled and rng.random() < settings.doubled:
                stems[index].append(self._lent(index, rng))
        return stems

    def _lent(self, index: int, rng: np.random.Generator) -> Part:
        """Draw a stem of any track that lends it."""
        track = _draw(self._by_source[SOURCES[index]], rng)
        speed = self._speed(rng)
        start = self._moment(track, SOURCES[index], speed, rng)
        return self._augmented(track, index, start, speed, rng)

    def _sung_over(self, backing: StoredTrack, rng: np.random.Generator) -> list[list[Part]]:
        """Draw a backing, and its own voice or another's."""
        stems: list[list[Part]] = [[] for _ in SOURCES]
        speed = self._speed(rng)
        start = self._moment(backing, SOURCES[_OTHER], speed, rng)
        stems[_OTHER].append(self._augmented(backing, _OTHER, start, speed, rng))
        if SOURCES[_VOCALS] in backing.stems:
            stems[_VOCALS].append(self._augmented(backing, _VOCALS, start, speed, rng))
        elif rng.random() >= self.settings.absent:
            stems[_VOCALS].append(self._lent(_VOCALS, rng))
        return stems

    def _speed(self, rng: np.random.Generator) -> float:
        """Draw how many of a track's samples make one of the example."""
        limit = self.settings.varispeed
        return float(1 + rng.uniform(-limit, limit)) if limit else 1.0

    def _moment(
        self, track: StoredTrack, source: str, speed: float, rng: np.random.Generator
    ) -> int:
        """Draw a start at which the source sounds, or the last try, with room for the example."""
        start, length = 0, math.ceil(self.samples * speed)
        for _ in range(_EXCERPT_TRIES):
            start = int(rng.integers(0, max(1, track.samples - length + 1)))
            excerpt = track.stems[source].read(start, length)
            if np.mean(np.square(excerpt)) > 10 ** (ACTIVE_DB / 10):
                break
        return start

    def _augmented(
        self, track: StoredTrack, index: int, start: int, speed: float, rng: np.random.Generator
    ) -> Part:
        """Draw what becomes of a stem; what is off draws nothing, as in recipes without it."""
        settings = self.settings
        stem = track.stems[SOURCES[index]]
        gain_db = rng.normal(0, settings.level_spread_db)
        if stem.level_db is not None:
            typical = _BACKING_DB if track.backing and index == _OTHER else _TYPICAL_DB[index]
            gain_db += typical - stem.level_db
        swap, flip = rng.random(2) < (settings.swap, settings.flip)
        tone = drawn_tone(settings.equalise_db, rng) if settings.equalise_db else None
        place = None
        if settings.pan and stem.is_mono(start, math.ceil(self.samples * speed)):
            place = rng.uniform(-1, 1) if rng.random() < settings.pan else None
        room = None
        if settings.reverb and rng.random() < settings.reverb:
            room = drawn_room(2, track.sample_rate, rng)
        gain = np.float32((-1 if flip else 1) * 10 ** (gain_db / 20))
        highest = track.highest_hz * speed
        return Part(
            stem, track.sample_rate, start, speed, gain, bool(swap), tone, place, room, highest
        )


def _draw(tracks: list[StoredTrack], rng: np.random.Generator) -> StoredTrack:
    weights = np.array([track.weight * math.sqrt(track.samples) for track in tracks])
    return tracks[int(rng.choice(len(tracks), p=weights / weights.sum()))]
