"""What people type out of habit, from other programs or in a hurry, and what it is called here."""

from __future__ import annotations

import glob
import inspect
import typing
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperCommand

from stemsplit.errors import UsageError

_NO_FILTER: Final = "leave it out: these models' stems lose by the filter"

# The options of Demucs, audio-separator, Spleeter and Open-Unmix that have other names here.
_ELSEWHERE: Final = {
    "-n": "use -m NAME",
    "--name": "use -m NAME",
    "--model_filename": "use -m NAME",
    "--flac": "use -f flac",
    "--mp3": "use -f mp3",
    "--output_format": "use -f FORMAT",
    "--ext": "use -f FORMAT",
    "-c": "use -f FORMAT",
    "--codec": "use -f FORMAT",
    "--int24": "use --bit-depth 24",
    "--float32": "use --bit-depth float32",
    "--out": "use -o FOLDER",
    "--output_dir": "use -o FOLDER",
    "--single_stem": "use --stems NAME",
    "--clip-mode": "use --clip HOW",
    "--mp3-bitrate": "use -f mp3 --bitrate KBPS",
    "--output_bitrate": "use -f mp3 --bitrate KBPS",
    "-b": "use -f mp3 --bitrate KBPS",
    "--filename_format": "use --filename TEMPLATE",
    "--targets": "use --stems NAME,...",
    "--outdir": "use -o FOLDER",
    "-p": "use -m NAME",
    "--params_filename": "use -m NAME",
    "--no-cuda": "use -d cpu",
    "--repo": "use -m with the path of a model's card",
    "--no-split": "leave it out: memory does not grow with the song",
    "--wiener": _NO_FILTER,
    "--niter": _NO_FILTER,
    "--mwf": _NO_FILTER,
    "-i": "leave it out: songs need no option",
    "-v": "use --log FILE, or --version",
    "--verbose": "use --log FILE",
    "--capture": "write it first: stemsplit --capture FOLDER ...",
    "--overlap": "leave it out: segments overlap as far as the model sees",
    "--list_models": "run stemsplit models",
    "--list-models": "run stemsplit models",
}
_WORDS: Final = {"help": "--help", "version": "--version", "list-models": "models"}


def translated(arguments: Sequence[str], commands: Collection[str]) -> list[str]:
    """Give the command line of somebody who writes ``help``; refuse what leads elsewhere.

    Raises
    ------
    UsageError
        A command that is written wrong, or a file whose name begins like an option.
    """
    given = list(arguments)
    for argument in given[: given.index("--")] if "--" in given else given:
        if argument.startswith("-") and Path(argument).suffix and _is_there(argument):
            raise UsageError(
                "a file's name begins like an option", got=argument, remedy=f"write ./{argument}"
            )
    if not given or given[0] in commands or _is_there(given[0]):
        return given
    if given[0] in _WORDS:
        word = _WORDS[given[0]]
        named = word == "--help" and len(given) > 1 and given[1] in commands
        return [given[1], word] if named else [word, *given[1:]]
    close = get_close_matches(given[0], commands, n=1, cutoff=0.8)
    if close and not glob.has_magic(given[0]):
        raise UsageError(
            "no such command or song", got=given[0], remedy=f"did you mean stemsplit {close[0]}?"
        )
    return given


def instead_of(option: str) -> str | None:
    """Say what to use instead of an option of another program's; None where that is not known."""
    return _ELSEWHERE.get(option)


class Command(TyperCommand):
    """A command whose paths may begin with ``~``, as they do where no shell has replaced it.

    Its help is folded where the terminal ends, and shows no types but those that are written.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def get_params(self, ctx: Any) -> list[Any]:
        """Give all parameters, ``--help`` among them."""
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            _show_plainly(parameter)
        return parameters

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Give the words of the line of usage: recent versions of Typer would write {SONG}."""
        arguments = (p for p in self.get_params(ctx) if p.param_type_name == "argument")
        return ["[OPTIONS]", *map(usage_word, arguments)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse two lists of stems, of which the first would be dropped, and parse the rest.

        Raises
        ------
        UsageError
            Two lists, or a value of another type than its option's.
        """
        lists = [arg for arg in args if arg == "--stems" or arg.startswith("--stems=")]
        if len(lists) > 1 and "--" not in args:
            raise UsageError(
                "--stems is given twice", remedy="name all in one: --stems vocals,drums"
            )
        try:
            rest: list[str] = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            told = _told(ctx, error)
            if told is None:
                raise
            raise told from error
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        hints = typing.get_type_hints(inspect.unwrap(self.callback)) if self.callback else {}
        for name, hint in hints.items():
            if name in ctx.params and "Path" in str(hint):
                ctx.params[name] = _expanded(ctx.params[name])
        return super().invoke(ctx)


def usage_word(argument: Any) -> str:
    """Give how a line of usage writes an argument."""
    word = str(argument.metavar or argument.name.upper()) + ("..." if argument.nargs < 0 else "")
    return word if argument.required else f"[{word}]"


def _told(ctx: Any, error: typer.BadParameter) -> UsageError | None:
    """Give the error of a value as this program words it; None where the parser names the value."""
    reasons = getattr(error.__cause__, "errors", None)  # of Typer from 0.29 on
    if error.param is None or reasons is None:
        return None
    reason = reasons()[0]
    wanted = str(reason["msg"]).removeprefix("Input should be ").split(", ")[0]
    return UsageError(
        f"bad {max(error.param.opts, key=len)}",
        got=reason["input"],
        wanted=wanted,
        remedy=f"see {ctx.command_path} --help",
        options=[str(error.param.name)],
    )


def _show_plainly(parameter: Any) -> None:
    if getattr(parameter, "is_flag", False):
        parameter.metavar = ""  # recent versions of Typer would write <bool>
    elif parameter.param_type_name == "argument" and hasattr(parameter, "display_type_rich"):
        parameter.display_type_rich = lambda ctx: None  # and <list[Path]>  # noqa: ARG005


def _expanded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_expanded, value))
    if not isinstance(value, (str, Path)) or not str(value).startswith("~"):
        return value
    try:
        return type(value)(Path(value).expanduser())
    except RuntimeError as error:
        if _is_there(str(value)):
            return value
        raise UsageError(
            "no such home", got=value, remedy=f"write ./{value} for a name that begins so"
        ) from error


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # a name that is too long
        return False
