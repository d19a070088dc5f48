"""Batches: resuming, skipping, going on past failures, and the report."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from stemsplit import song as song_module
from stemsplit.audio import AudioReader
from stemsplit.batch import DEFAULT_TEMPLATE, Batch, SeparateOptions
from stemsplit.errors import UsageError
from stemsplit.events import SongEnded, SongProgress, SongStarted, Warned
from stemsplit.inputs import find_songs
from stemsplit.outputs import OutputOptions
from stemsplit.report import DONE, FAILED, SKIPPED, BatchReport, Failure, SongReport


@pytest.fixture
def batch(random_model, tmp_path, monkeypatch):
    """Run a batch on files in the test's folder; give the report."""
    monkeypatch.chdir(tmp_path)

    def batch(*arguments, on_event=None, outputs=None, **options):
        settings = SeparateOptions(
            Path("out"),
            OutputOptions(filename=DEFAULT_TEMPLATE, **(outputs or {})),
            model=str(random_model),
            device="cpu",
            threads=1,
            **options,
        )
        songs = find_songs([Path(argument) for argument in arguments], settings.output)
        return Batch(settings, on_event).run(songs)

    return batch


def statuses(report):
    return [song.status for song in report.songs]


def contents(folder="out"):
    return {path: path.read_bytes() for path in Path(folder).rglob("*.wav")}


def test_two_songs_are_worked_on_at_a_time(batch, write_song, monkeypatch):
    both, separate_file = threading.Barrier(2, timeout=60), song_module.separate_file

    def together(*arguments, **options):
        both.wait()
        return separate_file(*arguments, **options)

    write_song("1.wav", 0.1)
    write_song("2.wav", 0.1)
    monkeypatch.setattr(song_module, "separate_file", together)
    assert statuses(batch("1.wav", "2.wav", jobs=2)) == [DONE, DONE]


@pytest.mark.parametrize("jobs", [1, 3])
def test_events_and_report(batch, write_song, jobs):
    write_song("a/1.wav", 0.3)
    write_song("a/2.wav", 0.3)
    Path("a/3.wav").write_text("no audio")
    events = []
    report = batch("a", jobs=jobs, on_event=events.append)
    assert statuses(report) == [DONE, DONE, FAILED]
    assert report.exit_code == 3
    for number in (0, 1):
        mine = [event for event in events if event.number == number]
        assert isinstance(mine[0], SongStarted)
        assert isinstance(mine[1], SongProgress)
        assert mine[-1] == SongEnded(number, report.songs[number])
    done = report.songs[0]
    assert (done.sample_rate, done.channels, done.samples, done.device) == (
        44_100,
        2,
        13_230,
        "cpu",
    )
    assert done.folder == str(Path("out/1").absolute())
    assert list(done.outputs.values()) == [
        str(Path(f"out/1/{name}.wav").absolute()) for name in ("vocals", "drums", "bass", "other")
    ]
    assert done.timings["network"] > 0
    assert report.songs[2].error.exit_code == 65


def test_jobs_do_not_change_the_stems(batch, write_song):
    for index in range(4):
        write_song(f"a/{index}.wav", 0.2 + index / 10)
    batch("a", jobs=1)
    one = contents()
    batch("a", jobs=4)
    assert contents() == one


def test_the_model_is_loaded_once_and_only_if_needed(batch, write_song, monkeypatch):
    loads = []
    from stemsplit import separate as separate_module

    original = separate_module.Separator.__init__
    monkeypatch.setattr(
        separate_module.Separator,
        "__init__",
        lambda self, *args, **kwargs: (loads.append(1), original(self, *args, **kwargs))[1],
    )
    for index in range(3):
        write_song(f"a/{index}.wav", 0.1)
    batch("a")
    assert len(loads) == 1
    assert statuses(batch("a", skip_existing=True)) == [SKIPPED] * 3
    assert batch("gone.wav").exit_code == 66
    assert len(loads) == 1


def test_what_is_done_is_skipped_as_long_as_nothing_changed(batch, write_song):
    song = write_song(seconds=0.2)
    assert statuses(batch("song.wav", skip_existing=True)) == [DONE]
    (skipped,) = batch("song.wav", skip_existing=True).songs
    assert skipped.status == SKIPPED
    assert skipped.samples == 8820
    assert Path(skipped.outputs["bass"]).is_file()
    assert statuses(batch("song.wav")) == [DONE]
    assert statuses(batch("song.wav", force=True)) == [DONE]
    song.touch()
    assert statuses(batch("song.wav", skip_existing=True)) == [SKIPPED]
    write_song(seconds=0.2001)
    assert statuses(batch("song.wav", skip_existing=True)) == [DONE]
    assert statuses(batch("song.wav", skip_existing=True, soft=True)) == [DONE]
    assert statuses(batch("song.wav", skip_existing=True, soft=True)) == [SKIPPED]
    options = {"outputs": {"bit_depth": "24"}, "soft": True}
    assert statuses(batch("song.wav", skip_existing=True, **options)) == [DONE]
    Path("out/song/bass.wav").unlink()
    assert statuses(batch("song.wav", skip_existing=True, **options)) == [DONE]
    Path("out/song/bass.wav").write_text("cut")  # by its owner, perhaps, who would miss it
    assert statuses(batch("song.wav", skip_existing=True, **options)) == [FAILED]
    assert Path("out/song/bass.wav").read_text() == "cut"
    assert statuses(batch("song.wav", force=True, **options)) == [DONE]


@pytest.mark.parametrize("jobs", [1, 2])
def test_two_songs_do_not_meet_in_one_file(write_song, tmp_path, jobs):
    write_song("a/x.wav", 0.1)
    write_song("a/x_no.wav", 0.1)
    outputs = OutputOptions(two_stems="vocals", filename="{track}_{stem}.{ext}")
    batch = Batch(SeparateOptions(tmp_path / "out", outputs, jobs=jobs))
    with pytest.raises(UsageError, match=r"share their files' names: got x_no_vocals.wav"):
        batch.run(find_songs([tmp_path / "a"], tmp_path / "out"))


@pytest.mark.parametrize("force", [True, False])
def test_a_stem_does_not_replace_another_song(write_song, tmp_path, force):
    song, other = write_song("a/b.wav", 0.1), write_song("a/b_vocals.wav", 0.1)
    before = other.read_bytes()
    options = SeparateOptions(
        tmp_path / "a", OutputOptions(filename="{track}_{stem}.{ext}"), force=force
    )
    with pytest.raises(UsageError, match=r"would overwrite another song: got .*b_vocals\.wav; ch"):
        Batch(options).run(find_songs([song, other], None))
    assert other.read_bytes() == before
    other.unlink()
    assert Batch(options).run(find_songs([song], None)).exit_code == 0
    both = Batch(options).run(find_songs([song, other], None))  # a stem of ours, named as a song
    assert statuses(both) == [DONE, DONE]


def test_a_song_that_is_gone_when_its_size_is_asked_is_one_failure(batch, write_song, monkeypatch):
    gone = write_song("a/1.wav", 0.1)
    write_song("a/2.wav", 0.1)
    form = AudioReader.form

    def vanishing(reader):
        gone.unlink(missing_ok=True)
        return form.fget(reader)

    monkeypatch.setattr(AudioReader, "form", property(vanishing))
    assert statuses(batch("a")) == [FAILED, DONE]

    def unforeseen(_reader):
        raise RuntimeError("of a library")

    monkeypatch.setattr(AudioReader, "form", property(unforeseen))
    (failure,) = batch("a/2.wav", force=True).songs
    assert failure.error.exit_code == 70


def test_a_format_that_does_not_do_for_a_song_names_it(batch, write_song):
    write_song("a/good.wav", 0.1)
    write_song("a/many.wav", 0.1, channels=6)
    good, many = batch("a", outputs={"format": "mp3"}).songs
    assert good.status == DONE
    assert many.error.message.startswith(f"mp3 cannot hold the channels of {many.input}: got 6")
    write_song("low.wav", 0.1, sample_rate=16_000)
    (low,) = batch("low.wav", outputs={"format": "mp3", "bitrate": 256}).songs
    assert "no such bit rate at the sample rate of low.wav: got 256 kbit/s at 16000" in str(
        low.error
    )


def test_stems_named_in_another_order_are_the_same(batch, write_song):
    write_song("song.wav", 0.1)
    for stems, status in ((("drums", "bass"), DONE), (("bass", "drums"), SKIPPED)):
        done = batch("song.wav", outputs={"stems": stems}, skip_existing=True)
        assert statuses(done) == [status]


def test_another_bit_rate_is_done_anew_and_old_records_stay_good(batch, write_song):
    write_song("song.wav", 0.1)
    flags = {"skip_existing": True}
    assert statuses(batch("song.wav", outputs={"format": "mp3"}, **flags)) == [DONE]
    (record,) = Path("out/.stemsplit").glob("*.json")
    assert "bitrate" not in json.loads(record.read_text())["settings"]
    assert statuses(batch("song.wav", outputs={"format": "mp3"}, **flags)) == [SKIPPED]
    constant = {"format": "mp3", "bitrate": 256}
    assert statuses(batch("song.wav", outputs=constant, **flags)) == [DONE]
    assert statuses(batch("song.wav", outputs=constant, **flags)) == [SKIPPED]


def test_two_songs_of_one_name_do_not_meet(batch, write_song):
    write_song("a/song.wav", 0.1)
    write_song("b/song.wav", 0.2)
    first = batch("a/song.wav")
    second = batch("b/song.wav", force=True)
    assert first.songs[0].folder != second.songs[0].folder
    both = batch("b/song.wav", "a/song.wav", skip_existing=True)
    assert statuses(both) == [SKIPPED, SKIPPED]
    assert [song.folder for song in both.songs] == [
        second.songs[0].folder,
        first.songs[0].folder,
    ]


def test_a_template_without_the_song_is_for_one_song(write_song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_song("1.wav", 0.1)
    write_song("2.wav", 0.1)

    def run(*songs, template="{stem}.{ext}", **options):
        settings = SeparateOptions(Path("flat"), OutputOptions(filename=template), **options)
        return Batch(settings).run(find_songs([Path(song) for song in songs], settings.output))

    with pytest.raises(UsageError, match=r"songs would share their files' names.*\{track\} in it"):
        run("1.wav", "2.wav")
    assert run("1.wav", device="cpu").exit_code == 0
    assert run("1.wav", device="cpu").exit_code == 0
    with pytest.raises(
        UsageError, match=r"share their files' names: got vocals\.wav, which is of 1"
    ):
        run("2.wav")
    assert run("2.wav", force=True).exit_code == 0
    assert run("2.wav").exit_code == 0  # whose stems they are now
    with pytest.raises(UsageError, match=r"got vocals\.wav, which is of 2"):
        run("1.wav")  # whose stems they are not any more, though of the same name and size
    assert run("1.wav", "2.wav", template="{track}/{stem}.{ext}").exit_code == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_nobody_foresaw_stops_one_song_only(batch, write_song, monkeypatch, jobs):
    write_song("1.wav", 0.1)
    write_song("2.wav", 0.1)
    original = song_module.separate_file

    def fail(path, *args, **kwargs):
        if path.name == "1.wav":
            raise ZeroDivisionError("surprise")
        return original(path, *args, **kwargs)

    monkeypatch.setattr(song_module, "separate_file", fail)
    events = []
    report = batch("1.wav", "2.wav", jobs=jobs, on_event=events.append)
    assert statuses(report) == [FAILED, DONE]
    assert report.songs[0].error.exit_code == 70
    assert "got ZeroDivisionError: surprise" in report.songs[0].error.message
    assert any(isinstance(event, SongEnded) and event.traceback for event in events)


def test_a_disk_that_will_be_full_is_announced(batch, write_song, monkeypatch):
    for index in range(4):
        write_song(f"{index}.wav", 0.5)

    class Usage:
        free = 1_200_000

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    events = []
    # Each takes 1.1 MB while it is written, and 0.35 MB then.
    report = batch("0.wav", "1.wav", "2.wav", "3.wav", on_event=events.append)
    assert report.exit_code == 0
    (warning,) = (event for event in events if isinstance(event, Warned))
    assert "1 MB free, wanted about 1 MB" in warning.message
    assert events[0] == warning


def test_a_song_that_does_not_fit_fails_before_the_model_is_loaded(batch, write_song, monkeypatch):
    monkeypatch.setattr("stemsplit.separate.Separator", None)
    write_song(seconds=0.1, sample_rate=96_000)
    report = batch("song.wav", outputs={"format": "mp3"})
    assert report.songs[0].error.exit_code == 65


def test_out_of_memory_has_a_remedy(batch, write_song, monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(song_module, "separate_file", fail)
    write_song(seconds=0.1)
    assert "try a smaller --segment" in batch("song.wav").songs[0].error.message


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(129), 129)]
)
def test_an_interrupted_batch_reports_what_is_done(batch, write_song, jobs, error, code):
    for index in range(4):
        write_song(f"{index}.wav", 0.2)

    def interrupt(event):
        if isinstance(event, SongEnded) and event.number == 1:
            raise error

    report = batch("0.wav", "1.wav", "2.wav", "3.wav", jobs=jobs, on_event=interrupt)
    assert report.exit_code == code
    assert report.error == Failure("interrupted", code)
    assert statuses(report)[1] == DONE
    assert statuses(report)[3] == FAILED or jobs > 1
    assert report.songs[3].input == "3.wav"
    assert not list(Path("out").rglob("*.part"))
    assert batch("0.wav", "1.wav", "2.wav", "3.wav", skip_existing=True).exit_code == 0
    resumed = contents()
    assert batch("0.wav", "1.wav", "2.wav", "3.wav").exit_code == 0
    assert contents() == resumed


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([None, None], 0),
        ([Failure("x", 65), None], 3),
        ([Failure("x", 66), Failure("y", 65)], 66),
        ([], 0),
    ],
)
def test_exit_codes(errors, code):
    songs = [SongReport("x", FAILED if error else DONE, error=error) for error in errors]
    report = BatchReport("1", "m", None, {}, songs)
    assert report.exit_code == code
    assert json.loads(json.dumps(report.document()))["exit_code"] == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "bad --jobs: got 0, wanted at least 1"),
        ({"threads": 0}, "bad --threads"),
        ({"device": "gpu"}, "bad --device"),
        ({"precision": "double"}, "bad --precision: got double, wanted auto or float32 or half"),
        ({"shifts": 0}, "bad --shifts: got 0, wanted 1 to 32"),
        ({"segment_seconds": float("nan")}, "bad --segment"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        SeparateOptions(Path("out"), **options)
