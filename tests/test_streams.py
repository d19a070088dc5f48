"""Standard streams that are closed, full, unread, or unable to hold a name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")


@pytest.fixture
def shell(tmp_path, random_model, write_song):
    """Run a line in the test's folder, in which ``$S`` is the command and ``$M`` a model."""
    write_song("song.wav", 0.2)

    def shell(line, **more):
        environment = {
            **os.environ,
            "S": f"{sys.executable} -m stemsplit",
            "M": f"-m {random_model} -d cpu",
            **more,
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return shell


def test_without_stdin_there_is_no_song(shell):
    for closed in ("<&-", "</dev/null"):
        code, _, err = shell(f"$S - -o out $M -q {closed}")
        assert code == 65
        assert err.startswith("stemsplit: error: no audio from stdin: got nothing, wanted a file;")


def test_a_stem_that_goes_nowhere_is_an_error(shell):
    code, _, err = shell("$S song.wav -o - --stems bass $M -q >&-")
    assert code == 73
    assert err.startswith("stemsplit: error: cannot write to stdout: got ")


def test_nobody_has_to_read_what_happens(shell, tmp_path):
    assert shell("$S song.wav -o closed $M 2>&-")[0] == 0
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.wav").write_bytes((tmp_path / "song.wav").read_bytes())
    assert shell("$S *.wav gone.wav -o unread $M 2>&1 | (read line)")[0] == 3
    for name in ("one", "two", "three", "song"):
        assert (tmp_path / "unread" / name / "bass.wav").is_file()
    assert (tmp_path / "closed/song/bass.wav").is_file()


def test_a_list_may_be_left_unread_or_have_no_room(shell):
    for command in ("models", "--help", "info song.wav", "models --json"):
        code, _, err = shell(f"$S {command} | true")
        assert (code, err) in ((0, ""), (73, ""))  # 0 where all of it fitted into the pipe
    for command in ("models", "models --json"):
        code, _, err = shell(f"$S {command} > /dev/full")
        assert code == 74
        assert err == "stemsplit: error: cannot write to stdout: got No space left on device\n"


def test_a_name_does_nothing_to_the_terminal(shell, tmp_path):
    """Nor to who reads the log later."""
    name = "red\x1b[31m\x07.wav"
    (tmp_path / name).write_bytes((tmp_path / "song.wav").read_bytes())
    code, out, err = shell("$S red*.wav -o out $M --log l && $S info red*.wav")
    assert code == 0
    text = out + err + (tmp_path / "l").read_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "red\\x1b[31m\\x07.wav: vocals" in err
    assert "red\\x1b[31m\\x07.wav" in out


def test_a_log_without_room_is_a_warning(shell):
    code, _, err = shell("$S song.wav -o out $M --log /dev/full")
    assert code == 0
    assert "warning: cannot write /dev/full: got No space left on device; what" in err


def test_what_a_stream_cannot_hold_is_escaped(shell):
    code, out, err = shell("$S info song.wav | cat && $S models", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "\\xb7" in out or "\\xd7" in out  # the sign of times


def test_what_is_piped_on_is_not_folded(shell):
    _, out, _ = shell("$S models | cat", COLUMNS="40")
    assert any("soft masks in 384 bands, stereo, full band." in line for line in out.splitlines())
