"""``stemsplit SONG... -o OUT``: the command that separates songs."""

from __future__ import annotations

from pathlib import Path

from stemsplit.batch import DEFAULT_TEMPLATE, SEGMENT_SECONDS, SeparateOptions
from stemsplit.cli import options
from stemsplit.models import DEFAULT_MODEL
from stemsplit.outputs import OutputOptions


def separate(
    songs: options.Songs,
    output: options.Output,
    format: options.Format = "wav",  # the option's name
    bit_depth: options.BitDepth = "source",
    filename: options.Filename = DEFAULT_TEMPLATE,
    stems: options.Stems = None,
    two_stems: options.TwoStems = None,
    residual: options.Residual = False,
    clip: options.Clip = "scale",
    tags: options.Tags = True,
    model: options.Model = DEFAULT_MODEL,
    device: options.Device = "auto",
    soft: options.Soft = None,
    segment: options.Segment = SEGMENT_SECONDS,
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    max_memory: options.MaxMemory = None,
    nice: options.Nice = False,
    jobs: options.Jobs = 1,
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

    def settings(folder: Path) -> SeparateOptions:
        outputs = OutputOptions(
            format=format,
            bit_depth=bit_depth,
            filename=filename,
            stems=options.stem_list(stems),
            two_stems=two_stems,
            residual=residual,
            clip=clip,
            tags=tags,
        )
        return SeparateOptions(
            output=folder,
            outputs=outputs,
            model=model,
            device=device,
            precision=precision,
            threads=threads,
            soft=soft,
            segment_seconds=segment,
            jobs=jobs,
            max_memory=options.size(max_memory),
            skip_existing=skip_existing,
            force=force,
            report=report,
        )

    reporting = Reporting(as_json=as_json, log=log, quiet=quiet, profile=profile)
    return run_command(songs, output, settings, reporting, nice=nice)
