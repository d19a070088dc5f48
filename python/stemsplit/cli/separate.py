"""``stemsplit SONG... -o OUT``: the command that separates songs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import typer

from stemsplit.cli import options, pipes
from stemsplit.cli.config_file import place_of, placed
from stemsplit.cli.groups import FileGroup, WorkGroup, takes_groups
from stemsplit.cli.precedence import settled, weaker
from stemsplit.separate_options import SeparateOptions


@takes_groups
def separate(
    context: typer.Context,
    songs: options.Songs,
    output: options.Output,
    files: FileGroup,
    work: WorkGroup,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    report: options.Report = False,
    as_json: options.Json = False,
    log: options.Log = None,
    quiet: options.Quiet = False,
    profile: options.Profile = False,
) -> int:
    """Split songs into vocals, drums, bass and other.

    The stems are OUTPUT/SONG/vocals.wav, drums.wav, bass.wav and other.wav, with the song's sample
    rate, channels and length. The word "separate" may be left out: stemsplit song.wav -o out/

    Exit code: 0 all done, 3 some songs failed, 2 wrong options, 65 and 66 bad or missing input, 69
    device or package missing, 73 output not writable, 74 no space, 78 model, 130 interrupted.
    """
    from stemsplit.cli.command import Reporting, run_command  # rich, which only this needs

    taken = pipes.is_pipe(output) and "as_json" in weaker(context, ["output", "as_json"])
    kept = as_json and not taken
    reporting = Reporting(as_json=kept, log=log, quiet=quiet, profile=profile)

    def settings(folder: Path, tell: Callable[[str], None]) -> SeparateOptions:
        switches = {"skip_existing": skip_existing, "force": force, "report": report}
        if as_json is not reporting.as_json:
            tell(f"--json of {place_of(context, 'as_json')} is left out: the stem goes to stdout")

        def build(left_out: Collection[str]) -> SeparateOptions:
            on = {name: value and name not in left_out for name, value in switches.items()}
            built = work.settings(folder, files.without(left_out), **on)
            if pipes.is_pipe(output):
                pipes.check_options(built)
            return built

        return settled(context, build, {*vars(files), *switches}, tell)

    return run_command(
        songs, output, settings, reporting, nice=work.nice, placed=partial(placed, context)
    )
