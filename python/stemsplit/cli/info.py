"""``stemsplit info FILE``: what a file is, and what separating it would write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stemsplit.cli import options, pipes
from stemsplit.cli.groups import FileGroup, takes_groups
from stemsplit.cli.precedence import settled
from stemsplit.cli.process import libraries_silenced
from stemsplit.cli.streams import printable
from stemsplit.config import checked_shifts
from stemsplit.errors import UsageError
from stemsplit.models import DEFAULT_MODEL, ModelCard, find_card, read_card
from stemsplit.outputs import Form, OutputOptions

_BLOCK_SAMPLES = 1 << 17
_SUBTYPES = {
    "PCM_16": "16 bit",
    "PCM_24": "24 bit",
    "PCM_32": "32 bit",
    "FLOAT": "32 bit float",
    "DOUBLE": "64 bit float",
}


@takes_groups
def info(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(readable=False, metavar="FILE", help="One audio file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where the stems would go; it is not touched."
        ),
    ] = None,
    *,
    files: FileGroup,
    model: options.Model = DEFAULT_MODEL,
    soft: options.Soft = None,
    shifts: options.Shifts = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what a file is, and what "stemsplit FILE" would do with these options.

    Nothing is separated or written.
    """
    from stemsplit.manifest import song_settings

    if pipes.is_pipe(file):
        raise UsageError("info needs a file", got="-", remedy="save what the pipe gives first")
    if output is not None and pipes.is_pipe(output):
        raise UsageError("info needs a folder to plan for", got="-o -")
    outputs = settled(context, lambda left_out: files.without(left_out).outputs(), vars(files))
    card = read_card(find_card(model))
    with libraries_silenced():
        facts = _facts(file)
    soft = card.soft if soft is None else soft
    content = song_settings(card, soft, outputs, checked_shifts(shifts, "--shifts"))
    plan = _plan(file, facts, output, outputs, card, content)
    if as_json:
        typer.echo(json.dumps({"schema": 1, "input": facts, "plan": plan}, indent=2))
    else:
        _print(facts, plan, outputs.clip)


def _facts(path: Path) -> dict[str, Any]:
    """Say what is in the file; raises `InputError` where it is no song."""
    from stemsplit.audio import AudioReader
    from stemsplit.files import absolute
    from stemsplit.tags import read_tags

    with AudioReader(path) as reader:
        samples = reader.frames
        if samples is None:  # a stream without a length in its header: only its end tells
            samples = sum(block.shape[1] for block in reader.blocks(_BLOCK_SAMPLES))
        return {
            "path": absolute(path),
            "bytes": path.stat().st_size,
            "format": reader.format,
            "subtype": reader.subtype,
            "sample_rate": reader.sample_rate,
            "channels": reader.channels,
            "samples": samples,
            "seconds": samples / reader.sample_rate,
            "missing": reader.shortfall(samples),
            "tags": read_tags(path).fields,
        }


def _plan(
    path: Path,
    facts: Mapping[str, Any],
    output: Path | None,
    outputs: OutputOptions,
    card: ModelCard,
    content: dict[str, Any],
) -> dict[str, Any]:
    """Say what would be written; raises `StemsplitError` where it could not be."""
    from stemsplit.inputs import Song, folder_name, name_songs, song_name
    from stemsplit.store import OutputStore
    from stemsplit.writer import needed_bytes

    rate, channels = facts["sample_rate"], facts["channels"]
    form = outputs.form(Form("wav", facts["subtype"], rate, channels), facts["path"])
    names = outputs.names(card.sources)
    song = Song(path, song_name(path), str(path))
    if output is not None:
        (song,) = name_songs([song], OutputStore(output))
    track = song.track
    files = outputs.paths(names, track=track, model=card.name, folder=folder_name(path))
    root = output or Path("OUTPUT")
    return {
        "model": card.name,
        "soft": content["soft"],
        "format": form.format,
        "subtype": form.subtype,
        "bitrate": form.bitrate,
        "outputs": {name: str(root / file) for name, file in files.items()},
        "bytes": needed_bytes(form, len(names), outputs.clip, facts["samples"]),
        "done_before": output is not None and _is_done(path, output, track, content),
    }


def _is_done(path: Path, output: Path, track: str, content: dict[str, Any]) -> bool:
    from stemsplit.store import OutputStore

    manifest = OutputStore(output).manifest(track)
    return manifest is not None and manifest.is_done(content, path, output)


def _print(facts: Mapping[str, Any], plan: Mapping[str, Any], clip: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    from stemsplit.cli.consoles import table_console

    minutes, seconds = divmod(facts["seconds"], 60)
    depth = plan["format"].upper()
    if plan["subtype"] in _SUBTYPES:
        depth += f", {_SUBTYPES[plan['subtype']]}"
    if plan["bitrate"]:
        depth += f", {plan['bitrate']} kbit/s"
    rows = [
        ("file", facts["path"]),
        ("holds", f"{facts['format']}, {facts['subtype']}, {facts['bytes'] / 1e6:.1f} MB"),
        ("sound", f"{facts['sample_rate']} Hz, {_channels(facts['channels'])}"),
        ("length", f"{minutes:.0f}:{seconds:05.2f} ({facts['samples']} samples)"),
        *_missing(facts),
        *((name, ", ".join(values)) for name, values in facts["tags"].items()),
        ("", ""),
        ("model", f"{plan['model']}, {'soft' if plan['soft'] else 'hard'} masks"),
        ("stems", f"{depth}, {_SHAPE.get(plan['format'], _KEPT_SHAPE)}"),
        ("clipping", _CLIPPING[clip]),
        ("space", f"about {plan['bytes'] / 1e6:.1f} MB while it works"),
        *(("writes", path) for path in dict.fromkeys(plan["outputs"].values())),
    ]
    if plan["done_before"]:
        rows.append(("", "done before, with these settings: --skip-existing would leave it out"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, text in rows:
        table.add_row(heading, escape(printable(str(text))))
    table_console().print(table, highlight=False, soft_wrap=True)


_KEPT_SHAPE = "with the rate, channels and length of the song"
_SHAPE = {"stem": "stereo, with the rate and length of the song"}
_CLIPPING = {
    "scale": "if a stem would clip, all get one common gain",
    "keep": "the level is kept; what is beyond full scale is cut and counted",
    "float": "if a stem would clip, all are written as float",
}


def _missing(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the row that tells of a file that is not whole."""
    if facts["missing"] is None:
        return []
    return [("", f"shorter than it says: {facts['missing']}; see whether it was copied whole")]


def _channels(channels: int) -> str:
    words = {1: "mono", 2: "stereo"}
    return words.get(channels, f"{channels} channels")
