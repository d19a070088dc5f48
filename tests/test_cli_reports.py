"""What scripts get: the JSON document, the log, pipes, exit codes; and nothing else on stdout."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile

from stemsplit.cli.app import run
from stemsplit.cli.progress import Display
from stemsplit.config import SOURCES
from stemsplit.events import SongEnded

SCHEMA = json.loads((Path(__file__).parents[1] / "docs/separate.schema.json").read_text())


@pytest.fixture
def separate(random_model, tmp_path, monkeypatch, capfdbinary):
    """Run the command in the test's folder; give its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def separate(*arguments):
        code = run([*map(str, arguments), "--model", str(random_model), "-d", "cpu"])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return separate


@pytest.fixture
def report(separate):
    """Run the command with --json; give its document, which fits the schema."""

    def report(*arguments):
        code, out, _ = separate(*arguments, "--json")
        document = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        assert document["exit_code"] == code
        return document

    return report


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_document_of_a_mixed_batch(report, write_song):
    write_song("good.wav", 0.3)
    Path("bad.wav").write_text("no audio")
    document = report("good.wav", "bad.wav", "gone.wav", "-o", "out")
    assert document["exit_code"] == 3
    assert document["model"] == "random"
    assert document["device"] == "cpu"
    assert document["precision"] in ("float32", "bfloat16")
    good, bad, gone = document["songs"]
    assert (good["input"], good["status"], good["samples"]) == ("good.wav", "done", 13_230)
    assert list(good["outputs"]) == list(SOURCES)
    assert all(Path(path).is_file() and path.startswith("/") for path in good["outputs"].values())
    assert good["error"] is None
    assert good["precision"] == document["precision"]
    assert (bad["status"], bad["error"]["exit_code"]) == ("failed", 65)
    assert gone["error"]["message"].startswith("no such file: gone.wav")
    document = report("good.wav", "-o", "out", "--skip-existing")
    assert document["songs"][0]["status"] == "skipped"
    assert document["songs"][0]["outputs"] == good["outputs"]
    assert document["device"] is None
    assert document["precision"] is None


def test_the_document_of_a_batch_that_cannot_begin(report):
    for options, code in (
        (("--format", "m4a"), 2),
        (("--stems", "piano"), 2),
        (("--segment", "0"), 2),
    ):
        document = report("song.wav", "-o", "out", *options)
        assert (document["error"]["exit_code"], document["exit_code"]) == (code, code)
        assert document["songs"] == []


def test_names_that_are_no_text_survive_json(report, write_song):
    name = os.fsdecode(b"caf\xe9\n.wav")
    write_song("song.wav", 0.1).rename(name)
    (song,) = report(name, "-o", "out")["songs"]
    assert song["input"] == name
    assert Path(song["outputs"]["bass"]).is_file()


def test_quiet_json_prints_only_the_document(separate, write_song):
    write_song(seconds=0.1)
    code, out, err = separate("song.wav", "-o", "out", "--json", "-q", "--profile")
    assert code == 0
    assert json.loads(out)["exit_code"] == 0
    assert "peak memory" in err  # a profile that was asked for goes where there is room


def test_a_profile_leaves_songs_out_that_were_done_before(separate, write_song):
    """Also one of which the page alone was made now, which takes time but no segments."""
    write_song("first.wav", 0.1)
    assert separate("first.wav", "-o", "out", "-q")[0] == 0
    code, out, err = separate("first.wav", "-o", "out", "--skip-existing", "--report", "--profile")
    assert (code, b"peak memory" in out) == (0, False)
    assert "skipped" in err
    write_song("second.wav", 0.2)
    songs = ("first.wav", "second.wav", "-o", "out", "--skip-existing")
    code, out, _ = separate(*songs, "--report", "--profile")
    assert code == 0
    assert b"0.2 s of audio" in out


def test_log_tells_what_happened(separate, write_song):
    write_song("good.wav", 0.1)
    assert separate("good.wav", "gone.wav", "-o", "out", "--log", "log.txt")[0] == 3
    done, failed, summary = Path("log.txt").read_text().splitlines()
    assert "info good.wav: vocals, drums" in done or "error no such file" in done
    assert " info 2 songs: 1 done, 0 skipped, 1 failed" in summary
    assert {line.split()[1] for line in (done, failed)} == {"info", "error"}


def test_a_quiet_log_appears_only_with_trouble(separate, write_song):
    write_song("good.wav", 0.1)
    assert separate("good.wav", "-o", "out", "-q", "--log", "log.txt") == (0, b"", "")
    assert not Path("log.txt").exists()
    assert separate("gone.wav", "-o", "out", "-q", "--log", "log.txt")[0] == 66
    assert separate("good.wav", "-o", "out", "-q", "--format", "x", "--log", "log.txt")[0] == 2
    first, second = Path("log.txt").read_text().splitlines()
    assert first.endswith(" error no such file: gone.wav; check the name and the folder")
    assert " error bad --format: got x" in second
    assert first[:4].isdigit()


def test_a_quiet_log_says_by_how_much_stems_are_softer(separate, tmp_path):
    """As Ardour runs it, where nobody sees stderr: no level changes without a word."""
    loud = np.sign(np.random.default_rng(0).uniform(-1, 1, (22_050, 2)))
    soundfile.write(tmp_path / "loud.wav", loud, 44_100)
    assert separate("loud.wav", "-o", "out", "-q", "--log", "log.txt") == (0, b"", "")
    (line,) = Path("log.txt").read_text().splitlines()
    assert " warning loud.wav: all stems at -" in line
    assert line.endswith(" dB, so that none clips (see --clip)")


def test_songs_that_an_interrupt_kept_from_being_begun_did_not_fail(separate, write_song):
    for name in ("1.wav", "2.wav", "3.wav"):
        write_song(name, 0.1)
    show = Display.show

    def interrupted(display, event, **more):
        show(display, event, **more)
        if isinstance(event, SongEnded) and event.number == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "show", interrupted)
        code, _, err = separate("gone.wav", "1.wav", "2.wav", "3.wav", "-o", "out")
    assert code == 130
    assert "4 songs: 1 done, 0 skipped, 1 failed, 2 not done" in err


@pytest.mark.parametrize("place", ["missing/log.txt", "."])
def test_a_log_that_cannot_be_written_is_found_out_first(separate, write_song, place):
    write_song(seconds=0.1)
    code, _, err = separate("song.wav", "-o", "out", "--log", place)
    assert code == 73
    assert "cannot write" in err
    assert not Path("out").exists()


def test_a_song_from_stdin(separate, write_song, monkeypatch):
    for kind in ("wav", "flac", "ogg", "mp3"):
        song = write_song(f"song.{kind}", 0.3)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(song.read_bytes())))
        code, out, err = separate("-", "-o", f"out-{kind}")
        assert (code, out) == (0, b"")
        assert err.startswith("-: vocals, drums")
        stem = soundfile.info(f"out-{kind}/stdin/vocals.wav")
        assert stem.frames == soundfile.info(song).frames


def test_nothing_on_stdin(separate, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = separate("-", "-o", "out")
    assert code == 65
    assert err.count("\n") == 1
    assert "no audio from stdin: got nothing" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no song")))
    assert "error: cannot read stdin as audio: got " in separate("-", "-o", "out")[2]


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stem_to_stdout(separate, write_song, kind):
    write_song(seconds=0.3)
    code, out, err = separate("song.wav", "-o", "-", "--stems", "bass", "-f", kind)
    assert code == 0
    assert err.startswith("song.wav: bass to stdout (0.3 s in ")
    assert separate("song.wav", "-o", "out")[0] == 0
    piped, rate = soundfile.read(io.BytesIO(out))
    np.testing.assert_array_equal(piped, soundfile.read("out/song/bass.wav")[0])
    assert rate == 44_100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("song.wav",), "only one stem goes to stdout: got 4 files; choose one with --stems NAME"),
        (("song.wav", "--two-stems", "bass"), "only one stem goes to stdout: got 2 files"),
        (("song.wav", "--stems", "bass", "--json"), "stdout cannot take both"),
        (("song.wav", "a.wav", "--stems", "bass"), "only one song goes to stdout: got 2 songs"),
        (("album", "--stems", "bass"), "only one song goes to stdout: got 2 songs"),
    ],
)
def test_what_stdout_cannot_take(separate, write_song, arguments, message):
    write_song(seconds=0.1)
    write_song("album/1.wav", 0.1)
    write_song("album/2.wav", 0.1)
    code, _, err = separate(*arguments, "-o", "-")
    assert code == 2
    assert message in err


def test_a_failed_song_writes_nothing_to_stdout(separate):
    code, out, _ = separate("gone.wav", "-o", "-", "--stems", "bass")
    assert (code, out) == (66, b"")


def command(random_model, *arguments):
    options = ["-m", str(random_model), "-d", "cpu", "--threads", "1"]
    return [sys.executable, "-m", "stemsplit", *map(str, arguments), *options]


def test_pipes_between_processes(random_model, write_song):
    """Stdin and stdout of the program itself, and a reader that goes away."""
    song = write_song(seconds=2.0)
    arguments = command(random_model, "-", "-o", "-", "--stems", "drums", "-q")
    with song.open("rb") as file:
        whole = subprocess.run(arguments, stdin=file, capture_output=True, check=True)
    assert len(soundfile.read(io.BytesIO(whole.stdout))[0]) == 88_200
    assert whole.stderr == b""
    with (
        song.open("rb") as file,
        subprocess.Popen(
            arguments, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 73
    assert err == "stemsplit: error: cannot write to stdout: got a reader that went away\n"


def test_a_reader_of_the_document_that_goes_away(random_model, tmp_path):
    arguments = command(random_model, tmp_path / "gone.wav", "-o", tmp_path / "out", "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 66
    assert err.splitlines()[1:] == [
        "stemsplit: error: cannot write to stdout: got a reader that went away"
    ]


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_bar_and_colour_unless_told_not_to(random_model, write_song, colour):
    song = write_song(seconds=1.0)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    if not colour:
        environment["NO_COLOR"] = "1"
    arguments = command(random_model, song, "-o", song.parent / "out")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while block := os.read(leader, 65536):
                shown += block
        except OSError:  # how a terminal says that the other side is gone
            pass
        assert process.stdout.read() == b""
    os.close(leader)
    assert process.returncode == 0
    assert "━".encode() in shown
    colours = b"\x1b[3" in shown or b"\x1b[1;3" in shown or b"\x1b[38" in shown
    assert colours == colour
