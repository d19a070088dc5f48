"""Groups of options: commands take them whole, Typer and the configuration file see each option."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from stemsplit.cli.groups import FileGroup, WorkGroup, takes_groups
from stemsplit.errors import UsageError


@dataclass(frozen=True)
class Group:
    colour: Annotated[str, typer.Option("--colour")] = "red"
    times: Annotated[int, typer.Option("-n")] = 1


@takes_groups
def command(
    word: Annotated[str, typer.Argument()],
    group: Group,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> None:
    """Say a word."""
    typer.echo(f"{word} {group.colour} {group.times} {loud}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hey"], "hey red 1 False"),
        (["hey", "--colour", "blue", "-n", "3", "--loud"], "hey blue 3 True"),
    ],
)
def test_a_command_gets_its_group(arguments, said):
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.output.strip()) == (0, said)


def test_each_option_shows_and_the_group_does_not():
    seen = inspect.signature(inspect.unwrap(command)).parameters
    assert list(seen) == ["word", "colour", "times", "loud"]
    assert command.__doc__ == "Say a word."


def test_what_cannot_be_meant_is_refused(tmp_path):
    assert FileGroup(stems="vocals, bass").outputs().stems == ("vocals", "bass")
    with pytest.raises(UsageError, match="format"):
        FileGroup(format="wma").outputs()
    with pytest.raises(UsageError, match="jobs"):
        WorkGroup(jobs=0).settings(tmp_path, FileGroup())
    assert WorkGroup(max_memory="2G").settings(tmp_path, FileGroup()).max_memory == 2 << 30
