"""One song from file to files: `separate_file`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt

from stemsplit.audio import AudioReader
from stemsplit.config import SEGMENT_SECONDS
from stemsplit.encode import check_length
from stemsplit.errors import InputError, TakenError, UsageError
from stemsplit.inputs import folder_name, song_name
from stemsplit.manifest import Fingerprint, Manifest, fingerprint, song_settings
from stemsplit.memory import MemoryLimit
from stemsplit.mixer import Mixer
from stemsplit.outputs import OutputOptions
from stemsplit.pipeline import Stopwatch
from stemsplit.separate import Progress, Separator
from stemsplit.stem_mp4 import check_available
from stemsplit.store import OutputStore
from stemsplit.tags import copy_tags, read_tags
from stemsplit.writer import SongWriter, Written, needed_bytes

Audio = npt.NDArray[np.float32]

_BLOCK_SAMPLES = 1 << 17
_FOREIGN = "a file stemsplit did not make for this song"


@dataclass(frozen=True)
class FileResult:
    """What became of a file.

    Attributes
    ----------
    stems:
        The path of each stem; one and the same for all streams of a ``.stem.mp4``.
    folder:
        The output folder; by a template, stems may lie in folders below it.
    sample_rate, channels, samples:
        Of the song and of every stem.
    device, precision:
        Where the network ran, and in which arithmetic: ``float32``, ``bfloat16`` or ``float16``.
    segment_seconds:
        Song predicted at a time, s.
    timings:
        Seconds each stage took.
    clipped:
        Samples cut at full scale by stem; stems without any are left out.
    gain_db:
        The stems' common level against the mixture: not 0 when one would have clipped.
    """

    stems: dict[str, Path]
    folder: Path
    sample_rate: int
    channels: int
    samples: int
    device: str
    precision: str
    segment_seconds: float
    timings: dict[str, float] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)
    gain_db: float = 0.0


def separate_file(
    source: Path,
    output: Path,
    *,
    separator: Separator,
    options: OutputOptions | None = None,
    track: str | None = None,
    soft: bool | None = None,
    segment_seconds: float = SEGMENT_SECONDS,
    overwrite: bool = False,
    store: OutputStore | None = None,
    memory: MemoryLimit | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_warning: Callable[[str], None] = warn,
) -> FileResult:
    """Separate a file into files, by default ``output/vocals.wav`` and so on.

    The stems have the file's sample rate, channels and exact length, add up to it where the
    model's masks do (with ``residual`` or ``two_stems`` always), and appear together when all are
    complete. Memory does not grow with the length of the song.

    Parameters
    ----------
    source:
        The song.
    output:
        A folder, made if missing.
    separator:
        The model.
    options:
        What to write, and how.
    track:
        The song's name for the template; its file's name by default.
    soft, segment_seconds, on_progress:
        As for `Separator.separate`.
    overwrite:
        Replace files that are there already though no earlier run made them.
    store:
        The folder's `OutputStore`, for those who have one already.
    memory:
        Makes the segment as short as it has to be; the stems are the same up to rounding.
    on_warning:
        Called with a line when the file is shorter than it says itself; `warnings.warn` by default.

    Raises
    ------
    InputError, AudioError
        The file cannot be read, changes meanwhile, or does not fit the format.
    OutputError, NoSpaceError
        The stems cannot be written; found out before the work begins where possible.
    OutOfMemoryError, DeviceError
        The device has no memory for the shortest segment, or fails.
    UsageError
        A stem the model does not have, files that would replace the song or each other, or a
        limit that no segment keeps.
    """
    source = Path(source)
    options = options or OutputOptions()
    store = store or OutputStore(Path(output))
    track = song_name(source) if track is None else track
    watch = Stopwatch()
    state = _state(source)
    with AudioReader(source) as reader:
        if memory is not None:
            segment_seconds = memory.segment_seconds(
                separator.predictor,
                reader.sample_rate,
                reader.channels,
                segment_seconds,
                soft=soft,
                shifts=separator.shifts,
            )
        plan = _Plan(reader, options, separator, track)
        plan.check_targets(store, overwrite, _made_before(store, track, source))
        store.check_space(plan.needed_bytes())
        with watch.stage("hash"):
            identity = _identity(source)
        _check_unchanged(source, state)
        with watch.stage("level"):
            gains = _gains(source, separator)
        with (
            store.begin(track) as work,
            SongWriter(
                work.folder, plan.names, plan.form, options.clip, separator.threads
            ) as writer,
        ):
            # Now that no other run can put its stems there; one may have until now.
            previous = _made_before(store, track, source)
            plan.check_targets(store, overwrite, previous)
            mixer = Mixer(plan.names, separator.card.sources, _decoded(reader, watch))
            stems = separator.separate_blocks(
                mixer.blocks(),
                reader.sample_rate,
                reader.channels,
                soft=soft,
                segment_seconds=segment_seconds,
                gains=gains,
                on_progress=on_progress,
                total_samples=reader.frames,
                watch=watch,
            )
            samples = _write_all(stems, mixer, writer, watch)
            _check_unchanged(source, state)
            missing = reader.shortfall(samples)
            if missing is not None:
                advice = "see whether it was copied whole"
                on_warning(f"{source} is shorter than it says: {missing}; {advice}")
            with watch.stage("encode"):
                written = writer.finish()
            if options.tags:
                with watch.stage("tags"):
                    copy_tags(read_tags(source), written.files, track=plan.title)
            result = FileResult(
                stems={name: store.root / plan.paths[name] for name in plan.names},
                folder=store.root,
                sample_rate=reader.sample_rate,
                channels=reader.channels,
                samples=samples,
                device=str(separator.device),
                precision=separator.precision,
                segment_seconds=segment_seconds,
                timings=watch.seconds,
                clipped=written.clipped,
                gain_db=written.gain_db,
            )
            soft = separator.card.soft if soft is None else soft
            settings = song_settings(separator.card, soft, options, separator.shifts)
            work.commit(
                *_record(plan, written, identity, settings, result, previous),
                check=lambda: plan.check_targets(store, overwrite, previous),
            )
            return result


def _made_before(store: OutputStore, track: str, source: Path) -> Manifest | None:
    """Give the record of what was made of a song; not that of another one by the same name."""
    manifest = store.manifest(track)
    return manifest if manifest is not None and manifest.is_of(source) else None


def _write_all(
    stems: Generator[Audio, None, None], mixer: Mixer, writer: SongWriter, watch: Stopwatch
) -> int:
    """Write what a separation gives, as it comes, beside it; give the samples per channel."""
    samples = 0

    def write(block: Audio) -> None:
        with watch.stage("encode"):
            writer.write(mixer.mix(block))

    # Where writing fails, the threads that read the song end before it is closed.
    with closing(stems), ThreadPoolExecutor(1) as beside:
        pending: Future[None] | None = None
        for block in stems:
            if pending is not None:
                pending.result()
            pending = beside.submit(write, block)
            samples += block.shape[2]
        if pending is not None:
            pending.result()
    return samples


class _Plan:
    """What is to be written for a song, before anything is."""

    def __init__(
        self, reader: AudioReader, options: OutputOptions, separator: Separator, track: str
    ) -> None:
        self._reader = reader
        self._clip = options.clip
        card = separator.card
        if options.format == "stem":
            check_available()
        self.form = options.form(reader.form, reader.path)
        check_length(self.form, reader.likely_frames, reader.path)
        self.names = options.names(card.sources)
        self.track = track
        self.title = PurePosixPath(track).name
        self.paths = options.paths(
            self.names, track=track, model=card.name, folder=folder_name(reader.path)
        )

    def check_targets(self, store: OutputStore, overwrite: bool, previous: Manifest | None) -> None:
        """See that every file has a place, and replaces neither the song nor what is not ours.

        Ours is what an earlier run made of this song, and nobody has changed since.
        """
        for path in dict.fromkeys(self.paths.values()):
            target = store.root / path
            store.check_target(target)
            if not target.exists():
                continue
            if target.samefile(self._reader.path):
                raise UsageError(
                    "a stem would overwrite the song", got=target, remedy="choose another --output"
                )
            known = previous is not None and path.as_posix() in previous.owned
            if not overwrite and not (previous and previous.holds(path.as_posix(), store.root)):
                raise TakenError(
                    f"{target} is there already",
                    got="a stem that was changed since" if known else _FOREIGN,
                    remedy="move it, choose another --output, or separate with"
                    " --force to replace it",
                )

    def needed_bytes(self) -> int:
        """Estimate the bytes needed on the disk; 0 where the song's length is not known."""
        frames = self._reader.likely_frames
        return needed_bytes(self.form, len(self.names), self._clip, frames)


def _record(
    plan: _Plan,
    written: Written,
    identity: Fingerprint,
    settings: dict[str, Any],
    result: FileResult,
    previous: Manifest | None,
) -> tuple[dict[Path, PurePosixPath], Manifest]:
    """Give the arguments of `Work.commit`."""
    targets = {written.files[name]: plan.paths[name] for name in plan.names}
    outputs = {name: path.as_posix() for name, path in plan.paths.items()}
    facts = {
        "sample_rate": result.sample_rate,
        "channels": result.channels,
        "samples": result.samples,
        "gain_db": result.gain_db,
        "clipped": result.clipped,
    }
    owned = previous.owned if previous else ()
    earlier = {**previous.earlier, **previous.sizes} if previous else {}
    manifest = Manifest(
        track=plan.track,
        input=identity,
        settings=settings,
        outputs=outputs,
        sizes={target.as_posix(): path.stat().st_size for path, target in targets.items()},
        owned=tuple(sorted({*owned, *outputs.values()})),
        earlier={path: size for path, size in earlier.items() if path not in outputs.values()},
        result=facts,
    )
    return targets, manifest


def _identity(source: Path) -> Fingerprint:
    try:
        return fingerprint(source)
    except OSError as error:
        raise InputError(f"cannot read {source}", got=error.strerror or error) from error


def _state(source: Path) -> tuple[int, int] | None:
    """Give a file's size and time of change; None where it cannot be looked at."""
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _check_unchanged(source: Path, state: tuple[int, int] | None) -> None:
    if _state(source) != state:
        raise InputError(
            f"{source} changed while it was read", remedy="try again when it is complete"
        )


def _gains(source: Path, separator: Separator) -> tuple[float, ...]:
    """Decode the file to know how loud the model should hear it."""
    with AudioReader(source) as reader:
        return separator.gains_for(reader.blocks(_BLOCK_SAMPLES))


def _decoded(reader: AudioReader, watch: Stopwatch) -> Iterator[Audio]:
    """Give the file's blocks, and count the time they take."""
    blocks = reader.blocks(_BLOCK_SAMPLES)
    while True:
        with watch.stage("decode"):
            block = next(blocks, None)
        if block is None:
            return
        yield block
