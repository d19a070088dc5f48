"""``stemsplit dataset``: makes tracks to train on from MIDI, syllables, recordings and songs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.groups import takes_groups
from stemsplit.cli.habits import Command
from stemsplit.config import SOURCES
from stemsplit.errors import PARTIAL_BATCH, UsageError
from stemsplit.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from stemsplit.making.collection import Job

dataset = typer.Typer(no_args_is_help=True)


class TrackFormat(str, Enum):
    """Formats of the stems' files."""

    flac = "flac"
    ogg = "ogg"


_Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the tracks go.")
]
_Seconds = Annotated[
    float | None, typer.Option("--seconds", help="The longest track; whole songs by default.")
]
_Recordings = Annotated[
    list[Path],
    typer.Argument(readable=False, metavar="RECORDING", help="Audio files and folders of them."),
]
_Pieces = Annotated[float | None, typer.Option("--seconds", help="Cut into tracks of this length.")]
_Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="Make N tracks, drawn at random."),
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything drawn at random.")]
_Format = Annotated[TrackFormat, typer.Option("--format", "-f", help="Of the stems' files.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@dataclass(frozen=True)
class CollectionGroup:
    """Which tracks are made, and how they are written: what all of these commands share."""

    limit: _Limit = None
    seed: _Seed = 0
    audio_format: _Format = TrackFormat.flac
    quiet: _Quiet = False


@dataset.callback()
def describe() -> None:
    """Make tracks to train on, in the layout that train and evaluate read.

    Tracks that are there already are left as they are: a call that was interrupted goes on.
    """


@dataset.command(cls=Command)
@takes_groups
def render(
    midi: Annotated[
        list[Path],
        typer.Argument(
            readable=False, metavar="MIDI", help="MIDI files, folders and zip archives of them."
        ),
    ],
    output: _Output,
    soundfont: Annotated[
        list[Path],
        typer.Option("--soundfont", metavar="FILE", help="An .sf2 or .sf3 file; repeatable."),
    ],
    kit: Annotated[
        list[Path] | None,
        typer.Option("--kit", metavar="FILE", help="A SoundFont for drums only; repeatable."),
    ] = None,
    seconds: _Seconds = None,
    *,
    how: CollectionGroup,
) -> int:
    """Render MIDI songs to drums, bass and other with FluidSynth.

    Channel 10 goes to drums, what programs 33 to 40 play to bass, the rest to other. Each stem
    is played by a SoundFont drawn from those given.
    """
    from stemsplit.making.midi import find_songs
    from stemsplit.making.render import RenderSettings, render_jobs
    from stemsplit.making.soundfont import read_soundfont

    settings = RenderSettings(
        soundfonts=tuple(read_soundfont(path) for path in soundfont),
        kits=tuple(read_soundfont(path) for path in kit or []),
        seconds=seconds,
    )
    jobs = render_jobs(find_songs(midi), settings)
    return _make(jobs, output, how)


@dataset.command(cls=Command)
@takes_groups
def sing(
    voices: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            metavar="VOICE",
            help="Dry recordings of sung syllables: a file or a folder for each voice.",
        ),
    ],
    output: _Output,
    melodies: Annotated[
        list[Path],
        typer.Option(
            "--melodies", metavar="MIDI", help="A MIDI file, folder or zip archive; repeatable."
        ),
    ],
    track: Annotated[
        str,
        typer.Option("--track", metavar="NAME", help="What the melody's MIDI track is called."),
    ] = "melody",
    seconds: _Seconds = None,
    *,
    how: CollectionGroup,
) -> int:
    """Have recorded syllables sing the melodies of MIDI songs: tracks of vocals alone.

    The WORLD vocoder sets their pitch and length, with vibrato; some songs are doubled, and most
    get a room.
    """
    from stemsplit.making.midi import find_songs
    from stemsplit.making.singing import SingSettings, sing_jobs

    settings = SingSettings(seconds=seconds, track=track)
    jobs = sing_jobs(find_songs(melodies), voices, settings)
    return _make(jobs, output, how)


@dataset.command(cls=Command)
@takes_groups
def channel(
    recordings: _Recordings,
    output: _Output,
    number: Annotated[
        int, typer.Option("--channel", metavar="N", min=1, help="The channel, counted from 1.")
    ],
    stem: Annotated[str, typer.Option("--stem", metavar="NAME", help="What it holds.")] = "vocals",
    backing: Annotated[
        int | None,
        typer.Option(
            "--backing", metavar="N", min=1, help="The channel of its backing, which becomes other."
        ),
    ] = None,
    seconds: _Pieces = None,
    *,
    how: CollectionGroup,
) -> int:
    """Take one channel of recordings for tracks of one stem: the voice of karaoke pairs.

    With --backing also the other channel, which goes whole to other: for collections that the
    recipe says backing = true of.
    """
    source = _source(stem)
    if backing is not None and stem != "vocals":
        raise UsageError("--backing is a voice's", got=f"--stem {stem}", wanted="--stem vocals")
    from stemsplit.making.recordings import channel_jobs

    jobs = channel_jobs(recordings, number, source, seconds, backing)
    return _make(jobs, output, how)


@dataset.command(cls=Command)
@takes_groups
def whole(
    recordings: _Recordings,
    output: _Output,
    stem: Annotated[str, typer.Option("--stem", metavar="NAME", help="What they hold.")] = "other",
    seconds: _Pieces = None,
    *,
    how: CollectionGroup,
) -> int:
    """Take whole recordings for tracks of one stem.

    Songs in which nobody sings, as other, are a collection that the recipe says backing = true of.
    """
    from stemsplit.making.recordings import whole_jobs

    jobs = whole_jobs(recordings, _source(stem), seconds)
    return _make(jobs, output, how)


@dataset.command(cls=Command)
@takes_groups
def solos(
    recordings: _Recordings,
    output: _Output,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="What listens.")
    ] = DEFAULT_MODEL,
    below: Annotated[
        float,
        typer.Option("--below", metavar="DB", help="How quiet all other stems are to be."),
    ] = 15.0,
    at_least: Annotated[
        float, typer.Option("--at-least", metavar="SECONDS", help="The shortest stretch.")
    ] = 6.0,
    instrumental: Annotated[
        bool,
        typer.Option(
            "--instrumental", help="Nobody sings: what the model hears as vocals is other."
        ),
    ] = False,
    *,
    how: CollectionGroup,
) -> int:
    """Cut out of songs where one stem plays alone, as a model hears it.

    Each song becomes a track of one stem, or several; they have the song itself, not what the
    model makes of it.
    """
    from stemsplit.making.collection import SAMPLE_RATE
    from stemsplit.making.solos import SoloSettings, solo_jobs
    from stemsplit.separate import Separator

    settings = SoloSettings(below=below, at_least=at_least, instrumental=instrumental)
    separator = Separator(model)
    lacking = [source for source in SOURCES if source not in separator.card.sources]
    if lacking:
        raise UsageError(
            "solos need a model of four stems", got=f"none of {', '.join(lacking)}", wanted="one"
        )
    jobs = solo_jobs(
        recordings,
        lambda audio: separator.separate(audio, SAMPLE_RATE).stems,
        settings,
        separator.card.sha256,
    )
    return _make(jobs, output, how, empty="without a solo")


@dataset.command(cls=Command)
@takes_groups
def vary(
    songs: Annotated[
        list[Path],
        typer.Argument(
            readable=False, metavar="FOLDER", help="Folders of songs whose stems are known."
        ),
    ],
    output: _Output,
    semitones: Annotated[
        float, typer.Option("--semitones", help="The largest change of pitch, either way.")
    ] = 3.0,
    tempo: Annotated[
        float,
        typer.Option("--tempo", metavar="PERCENT", help="The largest change of tempo, either way."),
    ] = 12.0,
    copies: Annotated[int, typer.Option("--copies", min=1, help="So many of each song.")] = 1,
    *,
    how: CollectionGroup,
) -> int:
    """Copy songs with known stems at other pitches and tempos, which are drawn for each copy.

    Signalsmith Stretch changes either without the other. Vary only songs to train on: by the
    name of a copy a training does not know its song. Copies that are there stay as they are, so
    that other settings want another folder.
    """
    from stemsplit.making.varied import VarySettings, vary_jobs

    settings = VarySettings(semitones=semitones, tempo=tempo, copies=copies)
    return _make(vary_jobs(songs, output, settings), output, how)


def _source(stem: str) -> str:
    if stem not in SOURCES:
        raise UsageError("bad --stem", got=stem, wanted=", ".join(SOURCES))
    return stem


def _make(
    jobs: list[Job],
    output: Path,
    how: CollectionGroup,
    empty: str = "silent",
) -> int:
    """Make tracks, with progress and a line for each that fails; give the exit code."""
    from rich.progress import Progress

    from stemsplit.cli.consoles import StderrConsole
    from stemsplit.making.collection import Made, chosen, make_collection

    console, errors = StderrConsole(quiet=how.quiet), StderrConsole()
    drawn = chosen(jobs, how.limit, how.seed)
    with Progress(console=console, transient=True, disable=how.quiet) as bar:
        task = bar.add_task("tracks", total=len(drawn))

        def show(made: Made) -> None:
            bar.advance(task)
            if made.status == "failed":
                line = f"{made.name}: {made.reason}"
                errors.print(line, markup=False, highlight=False, soft_wrap=True)

        made = make_collection(
            drawn, output, audio_format=how.audio_format.value, seed=how.seed, on_track=show
        )
    console.print(_summary([one.status for one in made], empty), highlight=False, soft_wrap=True)
    return PARTIAL_BATCH if any(one.status == "failed" for one in made) else 0


def _summary(statuses: list[str], empty: str) -> str:
    words = {"made": "made", "skipped": "skipped", "silent": empty, "failed": "failed"}
    counts = [f"{statuses.count(status)} {word}" for status, word in words.items()]
    return f"{len(statuses)} tracks: {', '.join(counts)}"
