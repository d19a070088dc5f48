"""--capture: output and exit code in files, for hosts that start a program and go on."""

from __future__ import annotations

import pytest

from stemsplit.cli import app, model_table
from stemsplit.cli.app import run


@pytest.fixture
def captured(tmp_path, capfd):
    """Run a command with --capture; give its exit code and what each file holds."""

    def captured(*arguments):
        folder = tmp_path / "new" / "folder"
        code = run(["--capture", str(folder), *map(str, arguments)])
        assert capfd.readouterr() == ("", "")
        assert sorted(path.name for path in folder.iterdir()) == ["exit-code", "stderr", "stdout"]
        assert int((folder / "exit-code").read_text()) == code
        return code, (folder / "stdout").read_text(), (folder / "stderr").read_text()

    return captured


def test_output(captured):
    code, out, err = captured("models", "--json")
    assert (code, err) == (0, "")
    assert out.startswith('{\n  "schema": 1')


def test_errors_and_a_second_run(captured, tmp_path):
    assert captured("models")[0] == 0
    code, out, err = captured("missing.wav", "-o", tmp_path)
    assert (code, out) == (66, "")
    assert err.startswith("stemsplit: error: no such file")


def test_an_end_by_exit(captured):
    assert captured("--version")[0] == 0


def test_what_nobody_foresaw_ends_too(captured, monkeypatch):
    """A host waits for the file with the code."""
    monkeypatch.setattr(model_table, "print_models", lambda _: 1 / 0)
    code, out, err = captured("models")
    assert (code, out) == (70, "")
    assert err.startswith("stemsplit: error: an error nobody foresaw: got ZeroDivisionError: ")
    monkeypatch.setattr(app, "run", lambda _: 1 / 0)
    code, out, err = captured("models")
    assert (code, out) == (70, "")
    assert err.endswith("ZeroDivisionError: division by zero\n")


def test_output_is_back_afterwards(captured, capfd):
    captured("models")
    assert run(["--version"]) == 0
    assert capfd.readouterr().out.startswith("stemsplit ")


@pytest.mark.parametrize(
    "arguments", [["--capture"], ["--capture", "x"], ["--capture=x", "models"]]
)
def test_where_it_does_not_belong(arguments, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path, capfd):
    (tmp_path / "taken").write_text("")
    assert run(["--capture", str(tmp_path / "taken"), "models"]) == 73
    assert "cannot write to" in capfd.readouterr().err
