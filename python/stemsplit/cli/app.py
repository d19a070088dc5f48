"""The commands of ``stemsplit``, and the rule that ``separate`` goes without saying."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stemsplit.cli import logfile
from stemsplit.cli.capture import run_captured
from stemsplit.cli.config_file import EPILOG, ConfigurableCommand
from stemsplit.cli.dataset import dataset
from stemsplit.cli.doctor import doctor
from stemsplit.cli.errors import exit_code_of
from stemsplit.cli.evaluate import evaluate
from stemsplit.cli.habits import Command, translated
from stemsplit.cli.info import info
from stemsplit.cli.models import app as models
from stemsplit.cli.separate import separate
from stemsplit.cli.train import train
from stemsplit.cli.watch import watch
from stemsplit.errors import UsageError

_HELP = ["-h", "--help"]
_OWN_OPTIONS = {*_HELP, "--version", "--install-completion", "--show-completion", "--capture"}


class _ImpliedSeparate(TyperGroup):
    """A group whose first argument is a command, or else belongs to ``separate``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where it is missing; an empty place would be the folder one is in."""
        if any(not arg or (arg.startswith("--") and arg.endswith("=")) for arg in args):
            raise UsageError(
                "an argument is empty", remedy="is a variable unset in the line that was run?"
            )
        args = translated(args, self.commands)
        if args and args[0] not in self.commands and args[0] not in _OWN_OPTIONS:
            args = ["separate", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer the options of ``separate`` too, as its name may be missing."""
        offers: list[Any] = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            offers += self.commands["separate"].shell_complete(ctx, incomplete)
        return offers


app = typer.Typer(
    cls=_ImpliedSeparate,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100, "help_option_names": _HELP},
    subcommand_metavar="SONG... | COMMAND",
    epilog="A song that is named like a command: stemsplit ./train -o out/",
)
app.command(cls=ConfigurableCommand, epilog=EPILOG)(separate)
app.command(cls=ConfigurableCommand, epilog=EPILOG)(watch)
app.command(cls=ConfigurableCommand, epilog=EPILOG)(info)
app.add_typer(models, name="models")
app.command(cls=Command)(doctor)
app.command(cls=Command)(train)
app.command(cls=Command)(evaluate)
app.add_typer(dataset, name="dataset")


def _print_version(wanted: bool) -> None:
    if wanted:
        from stemsplit.cli.version import version_lines

        typer.echo("\n".join(version_lines()))
        raise typer.Exit


@app.callback()
def describe(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the versions a bug report needs.",
        ),
    ] = False,
    capture: Annotated[
        Path | None,
        typer.Option(
            "--capture",
            metavar="FOLDER",
            help="For hosts that cannot read a program's output: keep it in FOLDER/stdout and "
            "stderr, and in the end write FOLDER/exit-code. Comes first.",
        ),
    ] = None,
) -> None:
    """Split songs into stems: "stemsplit song.wav -o out/" does it.

    Its command "separate" may be left out, as there; stemsplit separate --help lists its options.
    """
    if capture is not None:  # run() has taken it from where it belongs
        raise UsageError("bad --capture", wanted="it to come first, followed by its folder")


def run(arguments: Sequence[str]) -> int:
    """Run the command line on arguments (without the program's name); give the exit code."""
    if not arguments:
        exit_code_of(lambda: app(["--help"], prog_name="stemsplit", standalone_mode=False))
        return 2
    if arguments[0] == "--capture" and len(arguments) > 2:
        folder, rest = Path(arguments[1]), arguments[2:]
        return exit_code_of(lambda: run_captured(folder, lambda: run(rest)))
    return exit_code_of(
        lambda: app(list(arguments), prog_name="stemsplit", standalone_mode=False),
        logfile.named_in(arguments),
    )
