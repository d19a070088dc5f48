"""Promises about the package as a whole: no pickles, no shells, nothing to the network."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stemsplit
from conftest import SongWriter

PACKAGE = Path(stemsplit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What makes objects of bytes, runs text or talks to other machines.
MODULES_NEVER_IMPORTED = {
    *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"),
    *("socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib"),
    *("smtplib", "webbrowser", "xmlrpc", "huggingface_hub", "torch.hub"),
}
CALLS_NEVER_MADE = {"eval", "exec", "compile", "__import__", "system", "popen", "hub"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Give all calls with what is called as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else "computed"
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_has_no_way_to_run_or_fetch_anything(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {str(node.module), *(f"{node.module}.{a.name}" for a in node.names)}
    heads = {name.split(".")[0] for name in imported}
    assert not (imported | heads) & MODULES_NEVER_IMPORTED
    for name, call in calls(tree):
        head, _, last = name.rpartition(".")
        assert not (head in ("", "os") and last in CALLS_NEVER_MADE), name
        assert keyword(call, "shell") in (None, False), name
        assert keyword(call, "allow_pickle") in (None, False), name
        if name in ("torch.load", "load") and not head.startswith("torch.jit"):
            assert keyword(call, "weights_only") is True, name


def test_the_checks_see_what_they_look_for() -> None:
    tree = ast.parse("torch.load(p, weights_only=True); os.system(x); run(x, shell=True); eval(s)")
    found = dict(calls(tree))
    assert keyword(found["torch.load"], "weights_only") is True
    assert keyword(found["run"], "shell") is True
    assert {"os.system", "eval"} <= set(found)


def test_torchscript_is_loaded_in_one_place() -> None:
    places = [
        (path.name, name)
        for path in MODULES
        for name, _ in calls(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith("torch.jit.load")
    ]
    assert places == [("models.py", "torch.jit.load")]


def test_a_separation_opens_no_socket_and_starts_no_program(
    write_song: SongWriter, tmp_path: Path
) -> None:
    """Python tells of every socket and program before it is there; both end this process."""
    script = (
        "import os, sys\n"
        "def forbid(event, arguments):\n"
        "    if event.startswith('socket.') or event in ('subprocess.Popen', 'os.system',\n"
        "            'os.exec', 'os.fork', 'os.posix_spawn', 'urllib.Request', 'ftplib.connect'):\n"
        "        os.write(2, f'forbidden: {event} {arguments}'.encode()); os._exit(99)\n"
        "sys.addaudithook(forbid)\n"
        "from stemsplit.cli.app import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    song, output = write_song(seconds=0.5), tmp_path / "out"
    for line in (
        [str(song), "-o", str(output), "-d", "cpu", "--no-config", "--report", "-q"],
        ["info", str(song), "--no-config"],
        ["models"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *line], capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr
    assert len(list(output.rglob("*.wav"))) == 4
