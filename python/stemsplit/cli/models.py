"""``stemsplit models``: the models that are there, and adding or removing some of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stemsplit.cards import ModelCard, read_card
from stemsplit.cli.completion import own_model_names
from stemsplit.cli.errors import print_error_line
from stemsplit.cli.habits import Command
from stemsplit.errors import ModelError, UsageError
from stemsplit.models import DEFAULT_MODEL, find_card, own_models, packaged_models

_CODE = (
    "The weights are TorchScript: a program, which can read and write whatever you can. "
    "Add it only if you trust those it is from."
)

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)


@app.callback()
def models(
    ctx: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with the whole cards.")
    ] = False,
) -> int:
    """List the models, packaged ones and your own: size, parameters, and what they reach.

    Your own are those of "stemsplit models add".
    """
    return 0 if ctx.invoked_subcommand is not None else _list(as_json=as_json)


@app.command("list", hidden=True)
def list_models() -> int:
    """List the models, as without the word."""
    return _list(as_json=False)


def _list(*, as_json: bool) -> int:
    cards: dict[Path, ModelCard] = {}
    code = 0
    for name in (*packaged_models(), *own_models()):
        try:
            cards[find_card(name)] = read_card(find_card(name))
        except ModelError as error:  # the others are worth a line all the same
            print_error_line(str(error))
            code = error.exit_code
    if as_json:
        listing = [_facts(path, card) for path, card in cards.items()]
        typer.echo(json.dumps({"schema": 1, "default": DEFAULT_MODEL, "models": listing}, indent=2))
    else:
        from stemsplit.cli.model_table import print_models

        print_models(cards)
    return code


@app.command(cls=Command)
def add(
    card: Annotated[
        Path,
        typer.Argument(
            readable=False, metavar="CARD", help="A model's .json card, its .pt beside it."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="What to call it; what it calls itself by default."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Show what a model is, and add it to your own if you trust it.

    It is copied into your folder of models and goes by its name from then on: --model NAME.
    """
    from stemsplit.cli.model_table import print_candidate
    from stemsplit.library import add as add_model
    from stemsplit.library import examine

    candidate = examine(card, name)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            f"nobody there to ask whether to trust {candidate.card.name}",
            got=f"SHA-256 {candidate.card.sha256}",
            remedy="pass --yes if you do: a model is code",
        )
    print_candidate(candidate, _CODE)
    if not yes and not typer.confirm("Add it?"):
        raise ModelError(f"model {candidate.card.name} is not added", got="no")
    path = add_model(candidate)
    typer.echo(f"added as {candidate.card.name}: {path}")
    return 0


@app.command(cls=Command)
def remove(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One of your own; or the path of a card, which is only forgotten.",
            autocompletion=own_model_names,
        ),
    ],
) -> int:
    """Remove a model of your own; it is not run any more."""
    from stemsplit.library import remove as remove_model

    gone = remove_model(model)
    typer.echo(f"removed {model}" if gone else f"forgot {model}; its files are where they were")
    return 0


def _facts(path: Path, card: ModelCard) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    weights = path.with_suffix(".pt")
    size = weights.stat().st_size if weights.is_file() else None
    packaged = path.stem in packaged_models()
    default = card.name == DEFAULT_MODEL
    return {**facts, "default": default, "packaged": packaged, "bytes": size}
