"""The wheel in an empty environment without a compiler: `make test-wheel`, not `make test`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parent.parent
Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True)
    (path,) = folder.glob("stemsplit-*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Install the wheel; give what runs a program of its environment, elsewhere than here."""
    place = tmp_path_factory.mktemp("empty")
    venv.create(place / "venv")
    programs = place / "venv" / "bin"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STEMSPLIT"))}
    # Nothing else to be found: no compiler, no other Python.
    environment |= {"PATH": str(programs), "HOME": str(place), "XDG_CONFIG_HOME": str(place)}

    def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / program, *map(str, arguments)],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
        )

    # No sources, so no compiler; no byte code, as torch's takes longer than the tests.
    options = ("--quiet", "--only-binary", ":all:", "--no-compile", "-c", ROOT / "constraints.txt")
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install")
    subprocess.run([*pip, *options, wheel], check=True, env=environment)
    return run


def test_the_wheel_holds_the_whole_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    package = ROOT / "python" / "stemsplit"
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
            assert f"stemsplit/{path.relative_to(package)}" in names
    assert any(name.startswith("stemsplit/_core.") for name in names)


def test_both_ways_to_call_it(installed):
    said = installed("stemsplit", "--version").stdout
    assert said == installed("python", "-m", "stemsplit", "--version").stdout
    assert said.startswith("stemsplit ")


def test_the_doctor_is_content(installed):
    document = json.loads(installed("stemsplit", "doctor", "--json").stdout)
    assert document["ok"] is True
    notes = {check["name"]: check["status"] for check in document["checks"]}
    assert notes["watchfiles"] == "note"  # an extra, which an empty environment lacks


def test_it_separates(installed, tmp_path):
    song = ROOT / "demo" / "potassium.ogg"
    installed("stemsplit", song, "-o", tmp_path, "--quiet")
    stems = list((tmp_path / "potassium").glob("*.wav"))
    assert len(stems) == 4
    for stem in stems:
        assert soundfile.info(stem).frames == soundfile.info(song).frames
