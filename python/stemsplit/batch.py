"""Any number of songs with one model: what is done is skipped, and a bad file stops no other."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from stemsplit.errors import NoSpaceError, StemsplitError, UsageError
from stemsplit.events import Event, SongEnded, SongProgress, SongStarted, Warned
from stemsplit.files import absolute
from stemsplit.memory import MemoryLimit
from stemsplit.models import find_card, read_card
from stemsplit.report import (
    DONE,
    FAILED,
    BatchReport,
    Failure,
    SongReport,
    common_folder,
    failed,
    skipped,
    unforeseen,
)
from stemsplit.separate_options import DEFAULT_TEMPLATE, SeparateOptions

if TYPE_CHECKING:
    from stemsplit.infer import Predictor
    from stemsplit.inputs import Song
    from stemsplit.manifest import Manifest
    from stemsplit.separate import Progress, Separator

__all__ = ["DEFAULT_TEMPLATE", "Batch", "SeparateOptions"]

_INTERRUPTED = 130
# A signal that comes a moment before Python waits is seen only when that wait ends.
_TURN_SECONDS = 0.5


class _CancelledError(Exception):
    """The batch ends before the song does."""


class Batch:
    """Separates songs with a model that is loaded when the first of them needs it.

    Parameters
    ----------
    options:
        How, and where to.
    on_event:
        Called with every `Event`, from whichever thread, one at a time.

    Attributes
    ----------
    setup:
        Seconds that importing the network's library and loading the model took, by name.
    """

    def __init__(
        self, options: SeparateOptions, on_event: Callable[[Event], None] | None = None
    ) -> None:
        from stemsplit.stem_mp4 import check_available
        from stemsplit.store import OutputStore

        if options.report:
            from stemsplit.page import check_page_extra

            check_page_extra()
        self.options = options
        self.setup: dict[str, float] = {}
        self._on_event = on_event
        self._card = read_card(find_card(options.model))
        self._names = options.outputs.names(self._card.sources)
        if options.outputs.format == "stem":
            check_available()
        self._store = OutputStore(options.output)
        self._separator: Separator | None = None
        self._memory: MemoryLimit | None = None
        self._cancelled = threading.Event()
        self._guard = threading.Lock()

    @property
    def files_per_song(self) -> int:
        """How many files are written for each song."""
        return 1 if self.options.outputs.format == "stem" else len(self._names)

    def run(self, songs: Sequence[Song]) -> BatchReport:
        """Separate songs, in their order; may be called again.

        Ctrl-C (`KeyboardInterrupt`) and `SystemExit` end the batch early: the songs not done are
        reported as failed, and ``error`` says that it was interrupted.

        Raises
        ------
        UsageError
            A template without ``{track}`` for several songs; files that would be those of two
            songs, or replace another song.
        ModelError, DeviceError
            The model or the device cannot be had.
        """
        from stemsplit.batch_places import check_places
        from stemsplit.inputs import name_songs

        reports: dict[int, SongReport] = {}
        error = None
        try:
            self._store.recover()
            named = name_songs(songs, self._store)
            check_places(named, self.options, self._store, self._card)
            todo = []
            needed = 0
            for number, song in enumerate(named):
                size = self._bytes_to_write(number, song, reports)
                if size is not None:
                    todo.append((number, song))
                    needed += size
            if todo:
                if len(songs) > 1:  # a single song says the same when it fails
                    self._warn_of_space(needed)
                self.load()
                self._work(todo, reports)
        except (KeyboardInterrupt, SystemExit) as end:
            code = end.code if isinstance(end, SystemExit) else _INTERRUPTED
            error = Failure("interrupted", code if isinstance(code, int) else 1)
        missing = SongReport("", FAILED, error=error)
        return self.report(
            [
                reports.get(number) or dataclasses.replace(missing, input=song.shown)
                for number, song in enumerate(songs)
            ],
            error,
        )

    def report(self, songs: Sequence[SongReport], error: Failure | None = None) -> BatchReport:
        """Give the report of songs that this batch has worked on."""
        from importlib.metadata import version

        separator = self._separator
        return BatchReport(
            version("stemsplit"),
            self._card.name,
            None if separator is None else str(separator.device),
            self.options.facts(),
            songs,
            error,
            None if separator is None else separator.precision,
        )

    def _bytes_to_write(
        self, number: int, song: Song, reports: dict[int, SongReport]
    ) -> int | None:
        """Estimate the bytes of a song's files; None where there is nothing to do, and say why."""
        from stemsplit.audio import AudioReader
        from stemsplit.encode import estimated_bytes

        try:
            if song.problem is not None:
                raise song.problem
            manifest = self._done_before(song)
            if manifest is not None:
                done = skipped(song.shown, manifest, self.options.output)
                self._end(number, self._with_page(song, done), reports)
                return None
            self._check_page(song)
            with AudioReader(song.path) as reader:
                form = self.options.outputs.form(reader.form, song.shown)
                return len(self._names) * estimated_bytes(form, reader.likely_frames)
        except StemsplitError as error:
            self._end(number, _failed(song, error), reports)
        except Exception as error:  # the other songs of the night shall not pay for it
            report = failed(song.shown, unforeseen(song.shown, error))
            self._end(number, report, reports, traceback.format_exc())
        return None

    def _warn_of_space(self, needed: int) -> None:
        """Say before hours of work that the disk will be full; each song is checked by itself."""
        try:
            self._store.check_space(needed)
        except NoSpaceError as error:
            self._emit(Warned(str(error)))

    def _done_before(self, song: Song) -> Manifest | None:
        from stemsplit.manifest import song_settings

        options = self.options
        manifest = self._store.manifest(song.track)
        if manifest is None or not options.skip_existing:
            return None
        soft = self._card.soft if options.soft is None else options.soft
        settings = song_settings(self._card, soft, options.outputs, options.shifts)
        return manifest if manifest.is_done(settings, song.path, options.output) else None

    def load(self) -> None:
        """Load the model, where it is not.

        Raises
        ------
        ModelError, DeviceError
            The model or the device cannot be had.
        UsageError
            No song at all could be separated within ``max_memory``.
        """
        if self._separator is not None:
            return
        options = self.options
        began = time.perf_counter()
        from stemsplit.separate import Separator  # torch: slower than everything before it

        imported = time.perf_counter()
        self._separator = Separator(
            options.model,
            device=options.device,
            threads=options.threads,
            precision=options.precision,
            shifts=options.shifts,
            on_warning=lambda line: self._emit(Warned(line)),
        )
        if options.max_memory is not None:
            self._memory = MemoryLimit.now(options.max_memory, options.jobs)
            self._check_memory(self._memory, self._separator.predictor)
        self.setup = {
            "import": imported - began,
            "load model": time.perf_counter() - imported,
        }

    def _check_memory(self, memory: MemoryLimit, predictor: Predictor) -> None:
        """See that there is room for a mono song; where not, say what a stereo one needs."""
        wanted, soft, shifts = self.options.segment_seconds, self.options.soft, self.options.shifts

        def check(channels: int) -> None:
            rate = self._card.sample_rate
            memory.segment_seconds(predictor, rate, channels, wanted, soft=soft, shifts=shifts)

        try:
            check(1)
        except UsageError:
            check(2)  # which needs more, and says how much
            raise

    def _work(self, todo: Sequence[tuple[int, Song]], reports: dict[int, SongReport]) -> None:
        self._cancelled.clear()
        if self.options.jobs == 1:
            for number, song in todo:
                self._separate(number, song, reports)
            return
        with ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                futures: list[Future[None]] = [
                    pool.submit(self._separate, number, song, reports) for number, song in todo
                ]
                waiting = set(futures)
                while waiting:
                    done, waiting = wait(waiting, _TURN_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        future.result()
            except BaseException:
                self._cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _separate(self, number: int, song: Song, reports: dict[int, SongReport]) -> None:
        if self._cancelled.is_set():
            return
        self._emit(SongStarted(number, song))
        trace = None
        try:
            report = self._separated(number, song)
        except _CancelledError:
            return
        except StemsplitError as error:
            report = _failed(song, error)
        except Exception as error:  # the other songs of the night shall not pay for it
            report, trace = (
                failed(song.shown, unforeseen(song.shown, error)),
                traceback.format_exc(),
            )
        self._end(number, report, reports, trace)

    def _separated(self, number: int, song: Song) -> SongReport:
        from stemsplit.song import separate_file

        assert self._separator is not None
        options = self.options
        began = time.perf_counter()

        def show(progress: Progress) -> None:
            if self._cancelled.is_set():
                raise _CancelledError
            self._emit(SongProgress(number, progress.done_samples, progress.total_samples))

        result = separate_file(
            song.path,
            options.output,
            separator=self._separator,
            options=options.outputs,
            track=song.track,
            soft=options.soft,
            segment_seconds=options.segment_seconds,
            overwrite=options.force,
            store=self._store,
            memory=self._memory,
            on_progress=show,
            on_warning=lambda line: self._emit(Warned(_as_shown(line, song))),
        )
        outputs = {stem: absolute(path) for stem, path in result.stems.items()}
        report = SongReport(
            song.shown,
            DONE,
            folder=common_folder(outputs),
            outputs=outputs,
            sample_rate=result.sample_rate,
            channels=result.channels,
            samples=result.samples,
            device=result.device,
            precision=result.precision,
            segment_seconds=result.segment_seconds,
            seconds=time.perf_counter() - began,
            gain_db=result.gain_db,
            clipped=result.clipped,
            timings=dict(result.timings),
        )
        try:
            return self._with_page(song, report)
        except StemsplitError as error:
            failure = _failed(song, error).error
            return dataclasses.replace(report, status=FAILED, error=failure)

    def _check_page(self, song: Song) -> None:
        """See, before the work, that nothing of the user's is in the page's place."""
        if self.options.report:
            from stemsplit.batch_page import page_path

            page_path(song, self.options)

    def _with_page(self, song: Song, report: SongReport) -> SongReport:
        if not self.options.report:
            return report
        from stemsplit.batch_page import with_page

        return with_page(song, report, self.options, self._card)

    def _end(
        self,
        number: int,
        report: SongReport,
        reports: dict[int, SongReport],
        trace: str | None = None,
    ) -> None:
        reports[number] = report
        self._emit(SongEnded(number, report, trace))

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            with self._guard:
                self._on_event(event)


def _failed(song: Song, error: StemsplitError) -> SongReport:
    report = failed(song.shown, error)
    if report.error is None:
        return report
    message = _as_shown(report.error.message, song)
    return dataclasses.replace(report, error=dataclasses.replace(report.error, message=message))


def _as_shown(line: str, song: Song) -> str:
    """Give a line about a song; about one from stdin without the file that it waits in."""
    from stemsplit.inputs import STDIN

    return line.replace(str(song.path), "stdin") if song.shown == STDIN else line
