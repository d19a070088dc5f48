"""Renders MIDI songs to stems: one run of FluidSynth for each."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stemsplit.dataset import Audio
from stemsplit.errors import InputError, MissingExtraError, UsageError
from stemsplit.making.collection import SAMPLE_RATE, Job
from stemsplit.making.midi import DRUM_CHANNEL, Event, MidiSong, parse, split_events, write_events
from stemsplit.making.soundfont import DRUM_BANK, SoundFont

PROGRAM = "fluidsynth"
_LAST_SECONDS = 2.0  # for the notes at a song's own end to die away


@dataclass(frozen=True)
class RenderSettings:
    """How songs are rendered.

    Attributes
    ----------
    soundfonts:
        Of which one is drawn for each stem.
    kits:
        The same for drums; where there are none, ``soundfonts`` serve.
    seconds:
        The longest track, counted from the first note; None: no limit.
    """

    soundfonts: tuple[SoundFont, ...]
    kits: tuple[SoundFont, ...] = ()
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.soundfonts:
            raise UsageError("no SoundFont to render with", wanted="at least one")
        for font in self.soundfonts:
            if not font.has_instruments:
                raise UsageError(
                    f"SoundFont {font.path} cannot play a band",
                    got="drums alone, or none",
                    remedy="name one with only drums by --kit",
                )
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError("bad seconds", got=self.seconds, wanted="more than 0")


def render_jobs(songs: Sequence[MidiSong], settings: RenderSettings) -> list[Job]:
    """Give a job for each song that makes its drums, bass and other.

    Raises
    ------
    MissingExtraError
        FluidSynth is not installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingExtraError(
            "cannot render MIDI",
            got=f"no {PROGRAM}",
            remedy="install it: apt install fluidsynth, or brew install fluid-synth",
        )

    def job(song: MidiSong) -> Job:
        return Job(song.name, lambda rng: _rendered(song, settings, program, rng), str(settings))

    return [job(song) for song in songs]


def _rendered(
    song: MidiSong, settings: RenderSettings, program: str, rng: np.random.Generator
) -> dict[str, Audio]:
    stems = {}
    for source, events in split_events(parse(song), settings.seconds).items():
        fonts = (settings.kits or settings.soundfonts) if source == "drums" else settings.soundfonts
        font = fonts[int(rng.integers(len(fonts)))]
        if source == "drums":
            events = with_kit(events, font.kits[int(rng.integers(len(font.kits)))])
        stems[source] = _played(events, font, settings.seconds, program)
    longest = max((stem.shape[1] for stem in stems.values()), default=0)
    return {
        source: np.pad(stem, ((0, 0), (0, longest - stem.shape[1])))
        for source, stem in stems.items()
    }


def with_kit(events: Sequence[Event], kit: tuple[int, int]) -> list[Event]:
    """Have a kit's preset play the drums; one outside the drums' bank plays on channel 1."""
    import mido

    bank, preset = kit
    channel = DRUM_CHANNEL if bank == DRUM_BANK else 0
    chosen: list[Event] = [(0.0, mido.Message("program_change", channel=channel, program=preset))]
    if bank != DRUM_BANK:
        select = mido.Message("control_change", channel=channel, control=0, value=bank)
        chosen.insert(0, (0.0, select))
    for time, message in events:
        bank_select = message.type == "control_change" and message.control in (0, 32)
        if message.channel == DRUM_CHANNEL and not (
            bank_select or message.type == "program_change"
        ):
            chosen.append((time, message.copy(channel=channel)))
    return chosen


def _played(events: Sequence[Event], font: SoundFont, seconds: float | None, program: str) -> Audio:
    """Play events: float32 (2 channels, samples) until they have died away, or the limit."""
    with tempfile.TemporaryDirectory(prefix="stemsplit-") as folder:
        midi, wave = Path(folder) / "stem.mid", Path(folder) / "stem.wav"
        write_events(events, seconds, midi)
        command = fluidsynth_command(program, font.path, midi, wave)
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        if result.returncode or not wave.is_file():
            raise InputError(
                f"{PROGRAM} cannot render with {font.path}",
                got=result.stderr.strip() or f"exit code {result.returncode}",
            )
        audio, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    end = max(time for time, message in events if message.type in ("note_on", "note_off"))
    limit = end + _LAST_SECONDS if seconds is None else min(seconds, end + _LAST_SECONDS)
    stem: Audio = audio.T[:, : round(limit * SAMPLE_RATE)]
    return stem


def fluidsynth_command(program: str, soundfont: Path, midi: Path, wave: Path) -> list[str]:
    """Give the command line that renders a MIDI file to a WAV file of floats, which never clip."""
    form = ["-r", str(SAMPLE_RATE), "-O", "float", "-T", "wav", "-F", str(wave)]
    # Only what is played of a SoundFont is loaded, which can save most of the time.
    lazily = ["-o", "synth.dynamic-sample-loading=1"]
    return [program, "-n", "-i", "-q", *lazily, *form, str(soundfont.absolute()), str(midi)]
