"""Bad input to the command line: an exit code, one line on stderr, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.cli.app import run
from stemsplit.cli.errors import exit_code_of


def tree(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


@pytest.fixture
def failing(tmp_path, monkeypatch, capfd, random_model):
    """Run a command that must fail in the test's folder; give its exit code and only line."""
    monkeypatch.chdir(tmp_path)

    def failing(*arguments):
        before = tree(tmp_path)
        code = run([*arguments, *(() if "-m" in arguments else ("-m", str(random_model)))])
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert tree(tmp_path) == before
        return code, err.removeprefix("stemsplit: error: ").rstrip("\n")

    return failing


def test_missing_file(failing):
    code, line = failing("nothing.wav", "-o", "out")
    assert code == 66
    assert line == "no such file: nothing.wav; check the name and the folder"


def test_folder(failing, tmp_path):
    (tmp_path / "album").mkdir()
    assert failing("album", "-o", "out") == (66, "no songs in album: wanted audio files")


def test_unreadable(failing, tmp_path):
    # Permissions do not stop root, who may run the tests; a link to itself does.
    (tmp_path / "song.wav").symlink_to("song.wav")
    code, line = failing("song.wav", "-o", "out")
    assert code == 66
    assert line.startswith("cannot open song.wav: got Too many levels of symbolic links")


def test_socket(failing):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("song.wav")  # a relative name, as the length of these is limited
        code, line = failing("song.wav", "-o", "out")
    assert code == 66
    assert line.startswith("song.wav is not a regular file: wanted an audio file; pipe it in")


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "y" * 5000, "*" * 300, "song.wav/below"])
def test_names_that_cannot_be(failing, write_song, name):
    write_song(seconds=0.1)
    code, line = failing(name, "-o", "out")
    assert code == 66
    assert line.startswith(("cannot open", "nothing matches"))


def test_an_empty_file(failing, tmp_path):
    (tmp_path / "song.wav").touch()
    code, line = failing("song.wav", "-o", "out")
    assert code == 65
    assert line.startswith("no audio in song.wav: got an empty file, wanted a file libsndfile")
    assert line.endswith("; see that its export ran to the end")


def test_text_file(failing, tmp_path):
    (tmp_path / "song.wav").write_text("La la la\n" * 1000)
    code, line = failing("song.wav", "-o", "out")
    assert code == 65
    assert re.fullmatch(r"cannot read song.wav as audio: got .+, wanted .+; convert it .+", line)


def test_zero_samples(failing, tmp_path):
    soundfile.write(tmp_path / "song.wav", np.zeros((0, 2)), 44_100)
    code, line = failing("song.wav", "-o", "out")
    assert code == 65
    assert line.startswith("no audio in song.wav: got zero samples, wanted at least one; check")


def test_damage_found_half_way(failing, write_song):
    song = write_song("song.flac")
    data = bytearray(song.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    song.write_bytes(data)
    code, line = failing("song.flac", "-o", "new/out")
    assert code == 65
    assert line.startswith("damaged audio in song.flac: got ")


@pytest.mark.parametrize("output", ["taken", "taken/below"])
def test_output_that_is_no_folder(failing, write_song, tmp_path, output):
    write_song(seconds=0.1)
    (tmp_path / "taken").write_text("")
    code, line = failing("song.wav", "-o", output)
    assert code == 73
    place = f"{output}/song/vocals.wav"
    assert line == f"cannot write {place}: got taken is no folder; choose another --output"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["song.wav", "-o", "a" * 300], 73),
        (["song.wav", "-o", "out", "--log", "a" * 300], 73),
        (["song.wav", "-o", "out", "--log", "missing/" + "a" * 300], 73),
        (["watch", "a" * 300, "-o", "out", "--once"], 66),
        (["evaluate", "a" * 300], 66),
        (["evaluate", ".", "--json", "a" * 300], 73),
    ],
)
def test_places_the_system_does_not_look_at(failing, write_song, arguments, code):
    """Path.is_dir() raises for these, as it does in folders that may not be entered."""
    write_song(seconds=0.1)
    ended, line = failing(*arguments)
    assert ended == code
    assert "a" * 300 in line


def test_what_the_system_refuses_is_a_line(capfd):
    def refuse():
        raise PermissionError(13, "Permission denied", "locked")

    assert exit_code_of(refuse) == 70
    expected = "stemsplit: error: the system refused: got [Errno 13] Permission denied: 'locked'\n"
    assert capfd.readouterr().err == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["", "-o", "out"],
        ["song.wav", "-o", ""],
        ["song.wav", "--output="],
        ["watch", "", "-o", "out", "--once"],
    ],
)
def test_an_empty_argument_is_no_folder(failing, write_song, arguments):
    """As a script has it whose variable is unset: Path("") is where one is."""
    write_song(seconds=0.1)
    code, line = failing(*arguments)
    assert code == 2
    assert line.startswith("an argument is empty")


def test_a_log_may_be_a_pipe(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("log")
    kept_open = os.open("log", os.O_RDWR)  # as a reader that stays
    try:
        assert run(["missing.wav", "-o", "out", "--log", "log"]) == 66
        assert b" error no such file: missing.wav" in os.read(kept_open, 4096)
    finally:
        os.close(kept_open)
    assert "no such file" in capfd.readouterr().err


@pytest.mark.parametrize("before", [["song.wav", "-o", "out"], ["--loud"]])
def test_a_song_is_no_log(failing, write_song, before):
    data = write_song("song.flac").read_bytes()
    code, _ = failing(*before, "--log", "song.flac")
    assert code == (2 if before == ["--loud"] else 73)
    assert Path("song.flac").read_bytes() == data


def test_an_interrupt_before_the_batch_gives_its_document_too(
    monkeypatch, tmp_path, capfd, write_song
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stemsplit.inputs.find_songs", interrupted)
    song = write_song(seconds=0.1)
    assert run([str(song), "-o", str(tmp_path / "out"), "--json"]) == 130
    out, err = capfd.readouterr()
    assert json.loads(out)["error"] == {"message": "interrupted", "exit_code": 130}
    assert err == "stemsplit: interrupted\n"


@pytest.mark.usefixtures("full_disk")
def test_full_disk(failing, write_song):
    write_song("song.mp3", 0.8, channels=1)  # stems of 32-bit floats, 141 kB each
    code, line = failing("song.mp3", "-o", "new/out")
    assert code == 74
    assert re.fullmatch(r"cannot write new/out/\S+: got File too large; free some .+", line)


def test_two_lists_of_stems(failing, write_song):
    write_song(seconds=0.1)
    code, line = failing("song.wav", "-o", "out", "--stems", "vocals", "--stems=drums")
    assert code == 2
    assert line == "--stems is given twice; name all in one: --stems vocals,drums"


def test_a_card_that_is_nowhere(failing, write_song):
    write_song(seconds=0.1)
    code, line = failing("song.wav", "-o", "out", "-m", "./nope.json")
    assert code == 78
    assert line.startswith("no such model card: got ./nope.json, wanted a .json card, or base")


def test_unknown_model(failing, write_song):
    write_song(seconds=0.1)
    code, line = failing("song.wav", "-o", "out", "-m", "nonesuch")
    assert code == 78
    assert re.fullmatch(r"unknown model: got nonesuch, wanted .+", line)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_that_is_not_there(failing, write_song, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_song(seconds=0.1)
    code, line = failing("song.wav", "-o", "out", "-d", device)
    assert code == 69
    assert line.startswith(f"device {device} is not there: got no CUDA device")


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--segment", "0", "bad --segment: got 0.0, wanted seconds, more than 0"),
        ("--segment", "-3", "bad --segment: got -3.0, wanted seconds, more than 0"),
        ("--segment", "nan", "bad --segment: got nan, wanted seconds, more than 0"),
        ("--threads", "0", "bad --threads: got 0, wanted 1 to 256"),
        ("--threads", "257", "bad --threads: got 257, wanted 1 to 256"),
        ("--device", "gpu", "bad --device: got gpu, wanted auto, cpu, cuda or cuda:N"),
        ("--device", "cuda:x", "bad --device: got cuda:x, wanted auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_options(failing, write_song, option, value, line):
    write_song(seconds=0.1)
    assert failing("song.wav", "-o", "out", option, value) == (2, line)


@pytest.mark.parametrize(
    "arguments",
    [
        ("song.wav",),
        ("-o", "out"),
        ("song.wav", "-o", "out", "--loud"),
        ("song.wav", "-o", "out", "--segment", "ten"),
    ],
)
def test_arguments_that_do_not_parse(failing, arguments):
    code, line = failing(*arguments)
    assert code == 2
    assert line.endswith("; see stemsplit separate --help")


def test_arguments_that_do_not_parse_are_logged(monkeypatch, tmp_path, capfd):
    """Ardour, for one, shows nothing of what a command prints."""
    monkeypatch.chdir(tmp_path)
    for spelled in (["--log", "a/log"], ["--log=a/log"]):
        assert run(["song.wav", "-o", "out", "--loud", *spelled]) == 2  # no folder for the log
    for spelled in (["--log", "log"], ["--log=log"]):
        assert run(["song.wav", "-o", "out", "--loud", *spelled]) == 2
    assert capfd.readouterr().err.count("No such option: --loud") == 4
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_a_song_among_its_own_stems(failing, write_song):
    write_song("out/vocals/vocals.wav", 0.1)
    code, line = failing("out/vocals/vocals.wav", "-o", "out")
    assert code == 2
    assert line.startswith("a stem would overwrite the song: got out/vocals/vocals.wav; choose")


def test_the_other_songs_are_still_done(write_song, random_model, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_song("good.wav", 0.2)
    (tmp_path / "bad.wav").write_text("no audio")
    model = ("-m", str(random_model))
    assert run(["bad.wav", "good.wav", "missing.wav", "-o", "out", "-q", *model]) == 3
    bad, missing = capfd.readouterr().err.splitlines()
    assert bad.startswith("stemsplit: error: cannot read bad.wav as audio")
    assert missing.startswith("stemsplit: error: no such file: missing.wav")
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["good"]


def test_a_name_that_is_no_text(failing):
    code, line = failing(os.fsdecode(b"caf\xe9.wav"), "-o", "out")
    assert code == 66
    assert re.match(r"no such file: caf.+\.wav; check", line)


@pytest.mark.parametrize(
    ("number", "jobs", "code", "message"),
    [
        (signal.SIGINT, 1, 130, "stemsplit: interrupted\n"),
        (signal.SIGINT, 2, 130, "stemsplit: interrupted\n"),
        (signal.SIGTERM, 1, 143, ""),
        (signal.SIGHUP, 2, 129, ""),
    ],
)
def test_signals_end_it_cleanly(
    heeding, write_song, random_model, tmp_path, number, jobs, code, message
):
    song = write_song(seconds=60)
    command = [*heeding(number), "-m", "stemsplit", str(song), "-o", str(tmp_path / "out")]
    options = ["-m", str(random_model), "--segment", "1", "--threads", "1", "-j", str(jobs)]
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not list(tmp_path.rglob("*.part")):
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (code, "", message)
    assert [path.name for path in tmp_path.iterdir()] == [song.name]
