"""Options from the configuration file and from ``STEMSPLIT_*``: what the command line left open."""

from __future__ import annotations

import inspect
import os
import sys
import types
import typing
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from stemsplit.cli.habits import Command
from stemsplit.errors import InputError, UsageError
from stemsplit.files import user_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EPILOG = (
    "Defaults for these options: ~/.config/stemsplit/config.toml (segment = 5), or variables "
    "(STEMSPLIT_SEGMENT=5), which come before the file; the command line comes before both."
)
_MAIN = "separate"


def config_path() -> Path:
    """Give the place of the configuration file, whether or not there is one.

    `stemsplit.files.user_folder` tells where.
    """
    return user_folder("config") / "config.toml"


class ConfigurableCommand(Command):
    """A command whose options may also come from the environment and the configuration file.

    Every option ``--some-name`` gets the variable ``STEMSPLIT_SOME_NAME`` and the key
    ``some-name``; ``--no-config`` is added to them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, option in self.options().items():
            option.envvar = variable_name(key)
            option.show_envvar = False  # beside each option in the help; the epilog has the rule
        self.params.extend(_parameters_of(_no_config))

    def options(self) -> dict[str, Any]:
        """Give the options that can be set in the file, by their keys."""
        found = {}
        for parameter in self.params:
            if parameter.param_type_name == "option" and parameter.name != "no_config":
                found[max(parameter.opts, key=len).lstrip("-")] = parameter
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; where a value does not fit, say if it came from elsewhere than the line."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise_placed(ctx, error)
        except typer.BadParameter as error:
            place = error.param and place_of(ctx, str(error.param.name))
            if place:
                error.message = f"{error.message.rstrip('.')} (from {place})"
            raise

    def checked(self, table: Mapping[str, object], where: str) -> dict[str, object]:
        """Check a table of the file; give its values by the names of this command's parameters.

        Raises
        ------
        UsageError
            A key that is no option, or a value of another type.
        """
        options = self.options()
        hints = typing.get_type_hints(inspect.unwrap(self.callback)) if self.callback else {}
        values = {}
        for key, value in table.items():
            if key not in options:
                raise self._unknown_key(key, where)
            name = options[key].name
            values[name] = _checked_value(value, hints[name], f"{key} in {where}")
        return values

    def _unknown_key(self, key: str, where: str) -> UsageError:
        known = self.options()
        remedy = f"see stemsplit {self.name} --help for the options, or pass --no-config"
        for close in get_close_matches(key.replace("_", "-"), list(known), n=1):
            remedy = f"did you mean {close}?"
        for name, option in known.items():
            if f"--{key}" in option.secondary_opts:  # the other side of one that is on or off
                remedy = f"write {name} = false"
        return UsageError(f"unknown key in {where}", got=key, remedy=remedy)


def variable_name(key: str) -> str:
    """Give the environment variable of an option."""
    return f"STEMSPLIT_{key.upper().replace('-', '_')}"


def raise_placed(context: Any, error: UsageError, left_out: Collection[str] = ()) -> NoReturn:
    """Raise an error of a command's options once more, or the one that `placed` gives."""
    told = placed(context, error, left_out)
    if told is error:
        raise error
    raise told from error


def placed(context: Any, error: UsageError, left_out: Collection[str] = ()) -> UsageError:
    """Give an error of a command's options that says where they came from, if not from its line.

    It names no options any more, so that this is said once. Those that are left out are none.
    """
    names = [name for name in error.options if name not in left_out]
    places = dict.fromkeys(filter(None, (place_of(context, name) for name in names)))
    if not places:
        return error
    return UsageError(
        f"{error.what} (from {', '.join(places)})",
        got=error.got,
        wanted=error.wanted,
        remedy=error.remedy,
    )


def place_of(context: Any, name: str) -> str | None:
    """Give where an option's value came from, by its parameter's name: the file or a variable.

    None for the command line, and for what nobody set.
    """
    source = context.get_parameter_source(name)
    if source is not None and source.name == "ENVIRONMENT":
        (option,) = (each for each in context.command.params if each.name == name)
        return str(option.envvar)
    return str(config_path()) if source is not None and source.name == "DEFAULT_MAP" else None


def read_config(
    path: Path, commands: Mapping[str, ConfigurableCommand]
) -> dict[str, dict[str, object]]:
    """Read the whole file and check all of it; give each command's values.

    The keys at the top are options of ``separate``, and of every command that has them too; a
    table of a command's name overrides them for that command.

    Raises
    ------
    InputError
        The file cannot be read, or is no TOML.
    UsageError
        A key that is no option, or a value of another type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {name: {} for name in commands}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        remedy = "correct it, or pass --no-config"
        raise InputError(f"cannot read {path}", got=reason, wanted="TOML", remedy=remedy) from error
    tables = {key: document.pop(key) for key in commands.keys() - {_MAIN} if key in document}
    shared = commands[_MAIN].checked(document, str(path))
    values = {}
    for name, command in commands.items():
        taken = {option.name for option in command.options().values()}
        values[name] = {key: value for key, value in shared.items() if key in taken}
        if name in tables:
            if not isinstance(tables[name], dict):
                raise UsageError(f"bad {name} in {path}", got=tables[name], wanted=f"[{name}]")
            values[name] |= command.checked(tables[name], f"{path} [{name}]")
    return values


def configurable_commands(group: Any) -> dict[str, ConfigurableCommand]:
    """Give the commands of the program that the file can speak of, by name."""
    return {
        name: command
        for name, command in group.commands.items()
        if isinstance(command, ConfigurableCommand)
    }


def _no_config(
    no_config: Annotated[
        bool,
        typer.Option(
            "--no-config",
            is_eager=True,
            expose_value=False,
            callback=lambda ctx, value: _load(ctx, value),
            help="Leave the configuration file unread.",
        ),
    ] = False,
) -> None:
    """Carry the option that every configurable command gets."""


def _parameters_of(function: Any) -> list[Any]:
    """Let Typer, whose own classes differ between versions, make a function's parameters."""
    bearer = typer.Typer(add_completion=False)
    bearer.command()(function)
    return [option for option in typer.main.get_command(bearer).params if option.name != "help"]


def _load(ctx: typer.Context, off: bool) -> bool:
    """Give the parser the file's values as defaults; runs before other options are looked at."""
    if not off and not ctx.resilient_parsing:
        commands = configurable_commands(ctx.find_root().command)
        ctx.default_map = read_config(config_path(), commands)[str(ctx.command.name)]
    return off


def _checked_value(value: object, hint: Any, where: str) -> object:
    """Give a value as the command line would have it, where TOML's type is the option's."""
    kinds = [kind for kind in _alternatives(hint) if kind is not type(None)]
    kind = kinds[0]
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return [
            _checked_value(one, item, where)
            for one in (value if isinstance(value, list) else [value])
        ]
    accepted, wanted = _TYPES.get(kind, (str, "a string"))
    # In Python, but not in TOML, true is a number.
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"bad {where}", got=repr(value), wanted=wanted)
    if isinstance(value, str) and value.startswith("~"):  # which a shell would have expanded
        expanded = os.path.expanduser(value)  # noqa: PTH111 (which fails for nobody's home)
        if kind is Path and expanded == value:
            raise UsageError(f"bad {where}", got=value, wanted="a home that there is")
        return expanded
    return value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


_TYPES: dict[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
}
