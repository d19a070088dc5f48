"""The pages in docs/: generated ones are current, links lead somewhere, examples parse."""

from __future__ import annotations

import html
import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

from stemsplit.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_command_line_s_page_is_current():
    generate = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == generate["document"](), "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_examples_exist(page):
    group = typer.main.get_command(app)
    for line in re.findall(r"^(?:.*/)?stemsplit (.+)$", page.read_text("utf-8"), re.MULTILINE):
        words = shlex.split(line, comments=True)
        if words and words[0] not in ("--capture", "[SONG...", "[OPTIONS]"):
            command = group.commands.get(words[0], group.commands["separate"])
            command = getattr(command, "commands", {}).get("".join(words[1:2]), command)
            known = {name for p in (*command.params, *group.params) for name in (*p.opts,
                     *p.secondary_opts)}  # fmt: skip
            used = {word for word in words if re.match("--?[a-z]", word)}
            assert used <= known, line


def test_every_promise_about_faults_has_its_test():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", text))
    assert named
    for file, test in named:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in source, f"{file}::{test}"
    for row in re.findall(r"^\| [^|]+ \| [^|]+ \|$", text, re.MULTILINE):
        assert "::test_" in row or row == "| promise | test |", row


def test_the_terminal_in_the_picture_has_found_the_program():
    picture = (ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")
    shown = html.unescape(re.sub(r"<[^>]+>", "", picture)).replace("\xa0", " ")
    assert "vocals, drums, bass, other in stems/potassium" in shown
    assert "exit code 66" in shown
    assert "command not found" not in shown
