"""Completion: the values offered, Typer's protocol, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemsplit.cli.completion import stem_names
from stemsplit.models import packaged_models

SHELLS = ("bash", "zsh", "fish")
INSTALLED = [
    pytest.param(
        shell, marks=pytest.mark.skipif(not shutil.which(shell), reason=f"no {shell} here")
    )
    for shell in SHELLS
]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}

# Each prints what a shell would offer for the line $1, whose last word is incomplete.
IN_SHELL = {
    "bash": """
        eval "$(stemsplit --show-completion)"
        COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        [[ $1 == *" " ]] && COMP_CWORD=$((COMP_CWORD + 1))
        _stemsplit_completion stemsplit
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    # zsh completes in a terminal only: its own functions are replaced by ones that print.
    "zsh": """
        compdef() { }
        _arguments() { print -r -- "$@" }
        _files() { print files }
        eval "$(stemsplit --show-completion)"
        words=("${(@s: :)1}") CURRENT=$#words
        _stemsplit_completion
    """,
    "fish": """
        stemsplit --show-completion | source
        complete -C $argv[1]
    """,
}

LINES = [
    ("stemsplit song.wav --mod", ["--model"]),
    ("stemsplit --mod", ["--model"]),
    ("stemsplit --vers", ["--version"]),
    ("stemsplit doc", ["doctor"]),
    ("stemsplit song.wav --model ", packaged_models()),
    ("stemsplit song.wav --device c", ["cpu", "cuda"]),
]


def run_in(shell: str, line: str) -> str:
    arguments = {"bash": ["--norc", "-c"], "zsh": ["-fc"], "fish": ["--no-config", "-c"]}[shell]
    name = [] if shell == "fish" else [shell]
    return subprocess.run(
        [shell, *arguments, IN_SHELL[shell], *name, line],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("shell", INSTALLED)
@pytest.mark.parametrize(("line", "offers"), LINES)
def test_in_the_shell(shell, line, offers):
    out = run_in(shell, line)
    for offer in offers:
        assert offer in out


@pytest.mark.parametrize("shell", INSTALLED)
def test_files_are_left_to_the_shell(shell, tmp_path, monkeypatch):
    (tmp_path / "song.wav").write_text("")
    monkeypatch.chdir(tmp_path)
    # bash takes files when it gets no word (-o default), zsh is told to, fish does so itself.
    assert run_in(shell, "stemsplit so").strip() == {"bash": "", "zsh": "files"}.get(
        shell, "song.wav"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_protocol(shell):
    line = "stemsplit song.wav --dev"
    environment = {
        "_STEMSPLIT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    out = subprocess.run(
        [sys.executable, "-m", "stemsplit"],
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--device" in out


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("v", ["vocals"]),
        ("vocals,d", ["vocals,drums"]),
        ("vocals,drums,", ["vocals,drums,bass", "vocals,drums,other"]),
        ("x", []),
    ],
)
def test_lists_of_stems(typed, offers):
    assert stem_names(typed) == offers


def test_completion_imports_nothing_heavy():
    script = (
        "import sys, stemsplit.cli.app;"
        "from stemsplit.cli.completion import model_names; model_names('');"
        "print(*sorted({'torch', 'numpy', 'soundfile'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == ""
