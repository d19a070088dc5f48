"""--report: where the page goes, when it is written, and what it does not replace."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest

from stemsplit import batch_page
from stemsplit.cli.app import run
from stemsplit.errors import OutputError


@pytest.fixture
def separate(write_song, random_model, tmp_path, capfd):
    """Separate a song with --report; give the exit code, the song's report, and the errors."""
    song = write_song(seconds=0.3)

    def separate(*arguments, output=tmp_path / "out", song=song):
        line = [str(song), "-o", str(output), "-m", str(random_model), "--report", *arguments]
        code = run([*line, "--json", "--no-config"])
        out, err = capfd.readouterr()
        return code, json.loads(out)["songs"], err

    return separate


def test_a_page_beside_the_stems(separate, tmp_path):
    code, (song,), _ = separate()
    page = tmp_path / "out" / "song.html"
    assert code == 0
    assert song["page"] == str(page)
    assert song["timings"]["page"] > 0
    text = page.read_text(encoding="utf-8")
    for word in ("random", "cpu", "44100 Hz", "network", "Spectrogram of vocals"):
        assert word in text


def test_a_song_done_before_keeps_its_page_and_gets_a_missing_one(separate, tmp_path):
    separate()
    page = tmp_path / "out" / "song.html"
    before = page.stat().st_mtime_ns
    code, (song,), _ = separate("--skip-existing")
    assert (code, song["status"], song["page"]) == (0, "skipped", str(page))
    assert page.stat().st_mtime_ns == before
    page.unlink()
    code, (song,), _ = separate("--skip-existing")
    assert (code, song["status"]) == (0, "skipped")
    assert "Spectrogram of vocals" in page.read_text(encoding="utf-8")


def test_the_page_says_which_segment_was_used(separate, tmp_path):
    _, (song,), _ = separate("--segment", "0.25")
    assert song["segment_seconds"] == 0.25
    assert "0.25 s" in (tmp_path / "out" / "song.html").read_text(encoding="utf-8")


def test_a_page_that_fails_leaves_the_stems_in_the_report(separate, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise OutputError("cannot write song.html", got="no space")

    monkeypatch.setattr(batch_page, "write_page", fail)
    code, (song,), err = separate()
    assert (code, song["status"]) == (73, "failed")
    assert "cannot write song.html" in err
    assert song["outputs"]["bass"] == str(tmp_path / "out" / "song" / "bass.wav")


def test_a_page_older_than_the_stems_is_written_anew(separate, tmp_path, random_model):
    separate()
    line = ["-o", str(tmp_path / "out"), "-m", str(random_model), "--soft", "-q", "--no-config"]
    assert run([str(tmp_path / "song.wav"), *line]) == 0
    _, (song,), _ = separate("--soft", "--skip-existing")
    assert song["status"] == "skipped"
    assert ">soft<" in (tmp_path / "out" / "song.html").read_text(encoding="utf-8")


def test_what_a_killed_page_left_goes_after_a_week(separate, tmp_path):
    (tmp_path / "out").mkdir()
    old, young = (tmp_path / "out" / f".song.html.{number}.tmp" for number in (1, 2))
    for path in (old, young):
        path.write_text("half of it")
    os.utime(old, (0, 0))
    separate()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_user_s_own_page_is_not_replaced(separate, tmp_path):
    (tmp_path / "out").mkdir()
    page = tmp_path / "out" / "song.html"
    page.write_text("<h1>my song</h1>")
    code, (song,), err = separate()
    assert (code, song["status"]) == (73, "failed")
    assert "a file that is no report" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["song.html"]
    assert page.read_text() == "<h1>my song</h1>"
    assert separate("--force")[0] == 0
    assert "Spectrogram" in page.read_text(encoding="utf-8")
    assert separate()[0] == 0  # a report replaces a report


@pytest.mark.parametrize(("letters", "code"), [(245, 0), (251, 73)])
def test_a_song_with_a_long_name(separate, tmp_path, letters, code):
    """A page of the second has none: its name would be too long. The others have theirs."""
    (tmp_path / "out").mkdir()
    named = (tmp_path / "song.wav").rename(tmp_path / f"{'n' * letters}.wav")
    ended, (song,), _ = separate(song=named)
    assert (ended, song["status"]) == (code, "done" if code == 0 else "failed")


def test_one_stem_alone(separate, tmp_path):
    assert separate("--stems", "bass")[0] == 0
    text = (tmp_path / "out" / "song.html").read_text(encoding="utf-8")
    assert "Spectrogram of bass" in text
    assert "Spectrogram of vocals" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["-f", "stem"], "a file for each stem"), ([], "needs a folder")],
)
def test_where_there_can_be_none(write_song, arguments, message, capfd, tmp_path):
    output = str(tmp_path / "out") if arguments else "-"
    line = [str(write_song(seconds=0.1)), "-o", output, "--report", *arguments]
    assert run([*line, "--stems", "vocals"] if not arguments else line) == 2
    assert message in capfd.readouterr().err


def test_without_its_packages_nothing_is_begun(separate, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    code, songs, err = separate()
    assert (code, songs) == (69, [])
    assert 'pip install "jinja2>=3.1" "pillow>=10"' in err
    assert not (tmp_path / "out").exists()
