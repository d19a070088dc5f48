"""Writes docs/cli.md from the commands themselves: python docs/generate_cli.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from stemsplit.cli.app import app
from stemsplit.cli.habits import usage_word

_HEAD = """\
# The command line

Written by `docs/generate_cli.py` from the commands' own help; `make docs` writes it anew.

A value is taken from the command line; where that is silent, from the environment variable in
the last column; then from the [configuration file](configuration.md); then it is the default.
"""


def document() -> str:
    """Give the whole page."""
    group: Any = typer.main.get_command(app)
    parts = [_HEAD, "## stemsplit\n", *_body("stemsplit [SONG... | COMMAND]", group)]
    for name, command in _commands("stemsplit", group):
        words = [usage_word(argument) for argument in _arguments(command)]
        usage = " ".join([name, *words, "[OPTIONS]"])
        parts += [f"## {name}\n", *_body(usage, command)]
    return "\n".join(parts)


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Give all commands below a group, with the words that call them."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        inner = hasattr(command, "commands")
        if not inner or command.invoke_without_command:
            yield f"{path} {name}", command
        if inner:
            yield from _commands(f"{path} {name}", command)


def _body(usage: str, command: Any) -> Iterator[str]:
    yield f"```\n{usage}\n```\n"
    for paragraph in command.help.strip().split("\n\n"):
        yield f"{textwrap.fill(paragraph, 100, break_on_hyphens=False)}\n"
    arguments = _arguments(command)
    if arguments:
        yield "| argument | |\n|---|---|"
        for argument in arguments:
            yield f"| `{usage_word(argument)}` | {_cell(argument.help)} |"
        yield ""
    yield "| option | | default | variable |\n|---|---|---|---|"
    for option in command.params:
        if option.param_type_name == "option":
            yield _row(option)
    yield ""


def _arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument"]


def _row(option: Any) -> str:
    names = sorted(option.opts, key=len) + list(option.secondary_opts)
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    spelled = ", ".join(f"`{name}{value}`" for name in names)
    variable = f"`{option.envvar}`" if option.envvar else ""
    return f"| {spelled} | {_cell(option.help)} | {_default(option)} | {variable} |"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag and option.secondary_opts and option.default is not None:
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    default = option.default
    if option.is_flag or default in (None, (), []) or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(document(), encoding="utf-8")
