"""Writes docs/terminal.svg: a few commands, run for real in a terminal, and what they printed.

.venv/bin/python docs/record_terminal.py, from the repository's root; it runs the `stemsplit` beside
that Python.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
COMMANDS = (
    "stemsplit info potassium.ogg",
    "stemsplit potassium.ogg -o stems --report",
    "ls stems stems/potassium",
    "stemsplit potassium.ogg -o stems --skip-existing --json --quiet | grep -E 'status|exit_code'",
    "stemsplit nothing.wav -o stems; echo exit code $?",
)
ROOT = Path(__file__).parent.parent


def run(command: str, folder: Path) -> str:
    """Run a command in a terminal of its own; give what it printed, with its colours."""
    master, slave = pty.openpty()
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "PATH": path}
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdout=slave, stderr=slave
    ):
        os.close(slave)
        printed = b""
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            if not data:
                break
            printed += data
    os.close(master)
    if b"not found" in printed:
        raise SystemExit(f"{command}: {printed.decode()}")
    return _settled(printed.decode())


def _settled(printed: str) -> str:
    """Leave out what was erased again: the lines of progress that a later state replaced."""
    screen: list[str] = [""]
    row = 0
    for part in re.split(r"(\r?\n|\r|\x1b\[\d*[AKJ]|\x1b\[\?25[lh])", printed):
        if part.endswith("\n"):
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            row = max(0, row - int(up[1] or 1))
        elif part == "\r" or re.fullmatch(r"\x1b\[\d*[KJ]", part):
            screen[row] = ""
        elif not part.startswith("\x1b[?"):
            screen[row] += part
    return "\n".join(line.rstrip() for line in screen).strip("\n")


def main() -> None:
    """Run the commands and write the picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(ROOT / "demo" / "potassium.ogg", name)
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(run(command, Path(name)).replace(name, "/music")))
            console.print()
    svg = console.export_svg(title="stemsplit")
    # The fonts that rich would fetch from a server; a terminal's own will do.
    svg = re.sub(r"@font-face \{[^}]*\}\s*", "", svg).replace("Fira Code", "DejaVu Sans Mono")
    (ROOT / "docs" / "terminal.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
