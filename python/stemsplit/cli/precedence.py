"""Options that contradict each other, from places of which one comes before the other."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from stemsplit.cli.config_file import place_of, raise_placed
from stemsplit.errors import UsageError, option_of

_T = TypeVar("_T")
_RANKS: Final = {"COMMANDLINE": 0, "ENVIRONMENT": 1, "DEFAULT_MAP": 2}


def settled(
    context: Any,
    build: Callable[[Collection[str]], _T],
    may_yield: Collection[str],
    tell: Callable[[str], None] = lambda _line: None,
) -> _T:
    """Build something of a command's options; of two that contradict, the weaker one yields.

    An option of the configuration file yields to one of the environment, and both to one of the
    command line. So does what contradicts the default that stands in for one that has yielded.

    Parameters
    ----------
    context:
        The command's.
    build:
        Takes the names of the options to leave as if nobody had set them, and raises `UsageError`
        with the names of those that are to blame.
    may_yield:
        The names of those that it can leave so.
    tell:
        Called with a line for each option that yields.

    Raises
    ------
    UsageError
        What `build` raises where nothing yields, with the place it came from.
    """
    left_out: set[str] = set()
    while True:
        try:
            return build(left_out)
        except UsageError as error:
            yielding = weaker(context, error.options, left_out) & set(may_yield)
            if not yielding:
                raise_placed(context, error, left_out)
            for name in sorted(yielding):
                tell(f"{option_of(name)} of {place_of(context, name)} is left out: {error.what}")
            left_out |= yielding


def weaker(context: Any, options: Collection[str], left_out: Collection[str] = ()) -> set[str]:
    """Give the options that came from a weaker place than the strongest of them.

    Where one of them is left out already, those from its place, or a weaker one, are too.
    """
    sources = {name: context.get_parameter_source(name) for name in options}
    ranks = {
        name: _RANKS[source.name]
        for name, source in sources.items()
        if source is not None and source.name in _RANKS
    }
    bounds = [min(ranks.values(), default=0) + 1]
    bounds += [rank for name, rank in ranks.items() if name in left_out]
    return {name for name, rank in ranks.items() if rank >= min(bounds)} - set(left_out)
