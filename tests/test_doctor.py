"""stemsplit doctor, models and --version: what they say of a sound and of a broken installation."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import pytest
import soundfile
import torch

from stemsplit import trust
from stemsplit.cli import doctor as doctor_module
from stemsplit.cli import version as version_module
from stemsplit.cli.app import run
from stemsplit.models import DEFAULT_MODEL, packaged_models, read_card, write_card
from stemsplit.trust import WEIGHTS_FOLDER


@pytest.fixture(autouse=True)
def _no_config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Let the package's models be a copy that a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS_FOLDER, folder)
    monkeypatch.setattr(trust, "WEIGHTS_FOLDER", folder)
    return folder


def checked():
    return {check.name: check for check in doctor_module.run_checks()}


def test_a_sound_installation(capfd):
    assert run(["doctor", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["schema"] == 1
    assert document["ok"] is True
    assert {"stemsplit", "torch", "extension", "CUDA", "libsndfile", "configuration"} <= set(checks)
    assert f"model {DEFAULT_MODEL}" in checks
    assert " s with " in checks["self-test"]["detail"]


def test_lines_for_people(capfd, monkeypatch):
    monkeypatch.setattr(doctor_module, "_CHECKS", {"extension": doctor_module._extension})
    assert run(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "✓ extension" in out
    assert out.endswith("all is well\n")


def test_damaged_weights(weights, capfd):
    (weights / f"{DEFAULT_MODEL}.pt").write_bytes(b"half a download")
    assert run(["doctor"]) == 1
    out = capfd.readouterr().out
    assert f"✗ model {DEFAULT_MODEL}" in out
    assert "→ install stemsplit again" in out
    assert "2 things are wrong" in out  # the self-test needs them too


def test_no_models(weights):
    shutil.rmtree(weights)
    assert checked()["models"].status == "wrong"


def test_a_package_that_does_not_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    check = checked()["soxr"]
    assert check.status == "wrong"
    assert check.remedy == "pip install --force-reinstall soxr"


def test_an_extension_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "stemsplit.dsp", None)
    monkeypatch.delattr("stemsplit.dsp", raising=False)
    found = checked()
    assert found["extension"].status == "wrong"
    assert found["extension"].remedy.startswith("install stemsplit again")
    assert found["libsndfile"].status == "ok"


def test_a_format_that_is_not_written_is_not_among_those_that_are(monkeypatch):
    write = soundfile.write

    def without_mp3(file, data, rate, **options):
        if options["format"] == "MP3":
            raise ValueError("Unknown format: 'MP3'")
        write(file, data, rate, **options)

    monkeypatch.setattr(soundfile, "write", without_mp3)
    found = checked()
    assert found["MP3"].status == "wrong"
    assert found["libsndfile"].detail.endswith(": WAV, FLAC, AIFF, OGG")


def test_an_extra_that_is_missing_is_no_fault(monkeypatch):
    monkeypatch.setattr(version_module, "version", version_of_all_but("watchfiles"))
    check = checked()["watchfiles"]
    assert (check.status, check.remedy) == ("note", 'pip install "watchfiles>=1"')


def version_of_all_but(missing):
    from importlib.metadata import PackageNotFoundError, version

    def version_of(name):
        if name == missing:
            raise PackageNotFoundError(name)
        return version(name)

    return version_of


def test_a_gpu_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor_module.Path, "exists", lambda _path: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    (check,) = doctor_module._devices()
    assert check.status == "wrong"
    assert "CUDA build of torch" in check.remedy


def test_an_extra_that_does_not_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert checked()["watchfiles"].status == "wrong"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MODEL", "gone", "gone"),
        ("SHIFTS", "abc", "bad --shifts (from STEMSPLIT_SHIFTS): abc"),
        ("DEVICE", "cuda:99", "cuda:99"),
        ("FORMAT", "wma", "bad --format (from STEMSPLIT_FORMAT): wma"),
        ("TWO_STEMS", "piano", "no such stem: piano"),
    ],
)
def test_defaults_with_which_every_song_would_fail(monkeypatch, name, value, told):
    monkeypatch.setattr(doctor_module, "_CHECKS", {"defaults": doctor_module._defaults})
    assert checked()["defaults"].detail.startswith(f"{DEFAULT_MODEL} on c")
    monkeypatch.setenv(f"STEMSPLIT_{name}", value)
    check = checked()["defaults"]
    assert check.status == "wrong"
    assert told in check.detail


def test_a_bad_configuration_and_variables(monkeypatch, tmp_path):
    (tmp_path / "config" / "stemsplit").mkdir(parents=True)
    (tmp_path / "config" / "stemsplit" / "config.toml").write_text("colour = 1")
    monkeypatch.setenv("STEMSPLIT_THREADS", "1")
    monkeypatch.setattr(doctor_module, "_CHECKS", {"configuration": doctor_module._settings})
    assert checked()["configuration"].status == "wrong"
    (tmp_path / "config" / "stemsplit" / "config.toml").write_text("")
    assert checked()["variables"].remedy is None
    monkeypatch.setenv("STEMSPLIT_MODLE", "tiny")
    assert checked()["variables"].remedy == "nothing reads STEMSPLIT_MODLE: is it written right?"
    monkeypatch.delenv("STEMSPLIT_MODLE")
    assert checked()["variables"].detail == "STEMSPLIT_THREADS=1"


def test_models_for_people(capfd):
    assert run(["models"]) == 0
    out = capfd.readouterr().out
    assert f"{DEFAULT_MODEL} (the default)" in out
    for name in packaged_models():
        assert name in out
    assert "SDR" in out


def test_models_as_json(capfd):
    assert run(["models", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["default"] == DEFAULT_MODEL
    assert [model["name"] for model in document["models"]] == packaged_models()
    assert all(model["bytes"] > 0 for model in document["models"])


@pytest.mark.parametrize("validation", [{}, {"figures": []}, {"figures": {"model": {"mean": 3}}}])
def test_a_card_without_figures(weights, capfd, validation):
    path = weights / f"{DEFAULT_MODEL}.json"
    write_card(dataclasses.replace(read_card(path), validation=validation), path)
    path.with_suffix(".pt").unlink()
    assert run(["models"]) == 0
    out = capfd.readouterr().out
    assert "weights missing" in out


def test_version(capfd):
    import stemsplit

    assert run(["--version"]) == 0
    first, *rest = capfd.readouterr().out.splitlines()
    assert first == f"stemsplit {stemsplit.__version__}"
    for word in ("Python", "kernel", "torch"):
        assert word in "\n".join(rest)
