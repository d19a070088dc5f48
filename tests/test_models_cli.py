"""``stemsplit models add`` and ``remove``, and what goes by a model's name afterwards."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from small_model import Loud, save
from stemsplit.cli.app import run
from stemsplit.cli.completion import model_names, own_model_names
from stemsplit.cli.doctor import run_checks
from stemsplit.models import packaged_models, read_card
from stemsplit.trust import VARIABLE


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def models(capfd):
    """Run ``stemsplit models``; give its exit code, stdout and stderr."""

    def models(*arguments):
        code = run(["models", *map(str, arguments)])
        return code, *capfd.readouterr()

    return models


def test_from_a_stranger_to_a_model_of_ones_own(models, tmp_path, write_song, capfd):
    path, song = save(tmp_path), write_song(seconds=0.3)
    separate = [str(song), "-o", str(tmp_path / "out"), "--no-config", "-q"]
    assert run([*separate, "-m", str(path)]) == 78
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert f'stemsplit models add "{path}"' in err
    assert not (tmp_path / "out").exists()

    assert run(["evaluate", str(tmp_path), "-m", str(path), "-q"]) == 78
    assert "code that nobody has accepted" in capfd.readouterr().err

    code, out, err = models("add", path, "--yes")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for told in ("small", "A gain for each bin.", "gains", "vocals, drums", "66 parameters", "CC0",
                 "noise (CC0)", read_card(path).sha256, "TorchScript: a program"):  # fmt: skip
        assert told in words

    for model in ("small", str(path)):
        assert run([*separate, "-m", model, "--force"]) == 0
    assert run(["info", str(song), "-m", "small", "--no-config"]) == 0
    assert "small, hard masks" in capfd.readouterr().out
    assert [name for name, _ in model_names("s")] == ["small"]
    assert own_model_names("") == [("small", "66 parameters")]

    assert "small (yours)" in models()[1]
    listed = json.loads(models("--json")[1])["models"]
    assert [model["name"] for model in listed] == [*packaged_models(), "small"]
    assert [model["packaged"] for model in listed][-2:] == [True, False]

    assert models("remove", "small") == (0, "removed small\n", "")
    assert run([*separate, "-m", str(path), "--force"]) == 78


def test_nobody_to_ask(models, tmp_path, monkeypatch, own_folder):
    path = save(tmp_path)
    with open(os.devnull) as nothing:  # noqa: PTH123 (a device)
        monkeypatch.setattr(sys, "stdin", nothing)
        code, out, err = models("add", path)
    assert (code, out) == (2, "")
    assert "nobody there to ask" in err
    assert "pass --yes" in err
    assert not own_folder.exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 78), ("\n", 78)])
def test_asked_on_a_terminal(tmp_path, own_folder, answer, code):
    path = save(tmp_path)
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "stemsplit", "models", "add", str(path)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(master, answer.encode())
        out, err = process.communicate(timeout=120)
    os.close(terminal)
    os.close(master)
    assert process.returncode == code
    assert "Add it? [y/N]" in out + err
    assert (own_folder / "small.pt").is_file() == (code == 0)


@pytest.mark.parametrize("name", ["nothing.json", "small.pt"])
def test_no_card(models, tmp_path, name):
    save(tmp_path)
    code, _, err = models("add", tmp_path / name, "--yes")
    assert code == 78
    assert "model card" in err
    assert err.count("\n") == 1


def test_what_does_not_fit_is_not_added(models, tmp_path, own_folder):
    code, _, err = models("add", save(tmp_path, Loud()), "--yes")
    assert code == 78
    assert "does not fit its network: got answers from" in err
    assert not own_folder.exists()


def test_a_card_does_nothing_to_the_terminal(models, tmp_path):
    path = save(tmp_path, description="\x1b]0;gotcha\x07 [bold]\x1b[2J\u202e", licence="\rfree")
    out = models("add", path, "--yes")[1] + models()[1]
    for code in "\x1b\x07\r\u202e":
        assert code not in out
    assert "[bold]" in out


def test_a_broken_model_does_not_hide_the_others(models, tmp_path, own_folder):
    models("add", save(tmp_path), "--yes")
    (own_folder / "worse.json").write_text("{")
    code, out, err = models()
    assert code == 78
    assert "small (yours)" in out
    assert err.startswith("stemsplit: error: bad model card")
    found = {check.name: check for check in run_checks()}
    assert found["model small"].status == "ok"
    assert found["model worse"].remedy == 'stemsplit models remove "worse"'
