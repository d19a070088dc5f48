"""The options of ``stemsplit separate``, each as Typer takes it; `groups` puts them together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from stemsplit import outputs
from stemsplit.cli.completion import devices, model_names, one_of, stem_names
from stemsplit.config import SOURCES
from stemsplit.separate_options import PRECISIONS

_FILES: Final = "Output files"
_MODEL: Final = "Model"
_BATCH: Final = "Batches"
_REPORT: Final = "Reports"


Songs = Annotated[
    list[Path],
    typer.Argument(
        readable=False,
        metavar="SONG",
        help="Audio files, folders (searched whole), patterns in quotes, or - for stdin.",
        show_default=False,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Where the stems go, made if missing; - writes a single stem to stdout.",
        show_default=False,
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help=f"{', '.join(outputs.EXTENSIONS)}; stem is one .stem.mp4 for DJ software.",
        rich_help_panel=_FILES,
        autocompletion=one_of(outputs.EXTENSIONS),
    ),
]
BitDepth = Annotated[
    str,
    typer.Option(
        "--bit-depth",
        metavar="DEPTH",
        help=f"{', '.join(outputs.BIT_DEPTHS)}; source keeps the song's.",
        rich_help_panel=_FILES,
        autocompletion=one_of(outputs.BIT_DEPTHS),
    ),
]
Bitrate = Annotated[
    int | None,
    typer.Option(
        "--bitrate",
        metavar="KBPS",
        help="Of MP3: a constant one, 256 or 320; its best variable one by default.",
        rich_help_panel=_FILES,
        autocompletion=one_of([str(rate) for rate in outputs.BITRATES]),
    ),
]
Filename = Annotated[
    str,
    typer.Option(
        "--filename",
        metavar="TEMPLATE",
        help="Names below the output folder, of {track}, {stem}, {ext}, {model} and {folder}.",
        rich_help_panel=_FILES,
    ),
]
Stems = Annotated[
    str | None,
    typer.Option(
        "--stems",
        metavar="NAME,...",
        help="Write these stems only.",
        rich_help_panel=_FILES,
        autocompletion=stem_names,
    ),
]
TwoStems = Annotated[
    str | None,
    typer.Option(
        "--two-stems",
        metavar="NAME",
        help="Write NAME and no_NAME, the song without it.",
        rich_help_panel=_FILES,
        autocompletion=one_of(SOURCES),
    ),
]
Residual = Annotated[
    bool,
    typer.Option(
        "--residual/--no-residual",
        help="Write residual as well: what the stems leave of the song.",
        rich_help_panel=_FILES,
    ),
]
Clip = Annotated[
    str,
    typer.Option(
        "--clip",
        metavar="HOW",
        help="If a stem would clip: scale all by one gain, keep the level, or write float.",
        rich_help_panel=_FILES,
        autocompletion=one_of(outputs.CLIP_POLICIES),
    ),
]
Tags = Annotated[
    bool,
    typer.Option(
        "--tags/--no-tags", help="Copy the song's tags and cover.", rich_help_panel=_FILES
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A model's name, or the path of its card.",
        rich_help_panel=_MODEL,
        autocompletion=model_names,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N.",
        rich_help_panel=_MODEL,
        autocompletion=devices,
    ),
]
Soft = Annotated[
    bool | None,
    typer.Option(
        "--soft/--hard",
        help="Mask by probability, or all or nothing; the model's own way by default.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Segment = Annotated[
    float,
    typer.Option(
        "--segment",
        metavar="SECONDS",
        help="How much to work on at a time; less needs less memory.",
        rich_help_panel=_MODEL,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help="Of the network: auto, float32, or half (faster).",
        rich_help_panel=_MODEL,
        autocompletion=one_of(PRECISIONS),
    ),
]
Shifts = Annotated[
    int,
    typer.Option(
        "--shifts",
        metavar="N",
        help="Separate N times, each time heard at another speed, and take the mean: slower, a "
        "little better.",
        rich_help_panel=_MODEL,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Take no more memory than that, such as 800M or 2G: a shorter segment, the same "
        "stems.",
        rich_help_panel=_MODEL,
    ),
]
Nice = Annotated[
    bool,
    typer.Option(
        "--nice/--no-nice",
        help="Give way to other programs, such as a DAW that is playing.",
        rich_help_panel=_MODEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", help="CPU threads; all by default.", rich_help_panel=_MODEL
    ),
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", "-j", metavar="N", help="Songs at a time.", rich_help_panel=_BATCH),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing/--no-skip-existing",
        help="Leave out songs that are done: same file, model and settings.",
        rich_help_panel=_BATCH,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace files that stemsplit did not make.",
        rich_help_panel=_BATCH,
    ),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write a page about each song, FOLDER/SONG.html: spectrograms, levels, players.",
        rich_help_panel=_REPORT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document on stdout at the end.", rich_help_panel=_REPORT
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Append what happens; with --quiet, only warnings and errors.",
        rich_help_panel=_REPORT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=_REPORT),
]
Profile = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Print where the time went, and the peak memory.",
        rich_help_panel=_REPORT,
    ),
]
