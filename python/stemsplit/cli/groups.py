"""The options that several commands share, in groups: dataclasses that commands take whole."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from stemsplit.cli import options
from stemsplit.config import SEGMENT_SECONDS, SOURCES
from stemsplit.memory import parse_size
from stemsplit.models import DEFAULT_MODEL
from stemsplit.outputs import OutputOptions
from stemsplit.separate_options import DEFAULT_TEMPLATE, SeparateOptions

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class FileGroup:
    """What is written of a song."""

    format: options.Format = "wav"
    bit_depth: options.BitDepth = "source"
    bitrate: options.Bitrate = None
    filename: options.Filename = DEFAULT_TEMPLATE
    stems: options.Stems = None
    two_stems: options.TwoStems = None
    residual: options.Residual = False
    clip: options.Clip = "scale"
    tags: options.Tags = True

    def without(self, options: Collection[str]) -> FileGroup:
        """Give the same with some options as if nobody had set them."""
        kept = {name: value for name, value in vars(self).items() if name not in options}
        return FileGroup(**kept)

    def outputs(self) -> OutputOptions:
        """Give them as the library takes them; raises `UsageError`."""
        stems = None if self.stems is None else tuple(map(_stem, self.stems.split(",")))
        given = {
            "format": self.format.lower().removeprefix("."),
            "bit_depth": self.bit_depth.lower(),
            "clip": self.clip.lower(),
            "stems": stems,
            "two_stems": self.two_stems and _stem(self.two_stems),
        }
        return OutputOptions(**vars(self) | given)


@dataclass(frozen=True)
class WorkGroup:
    """How songs are separated."""

    model: options.Model = DEFAULT_MODEL
    device: options.Device = "auto"
    soft: options.Soft = None
    segment: options.Segment = SEGMENT_SECONDS
    precision: options.Precision = "auto"
    shifts: options.Shifts = 1
    threads: options.Threads = None
    max_memory: options.MaxMemory = None
    nice: options.Nice = False
    jobs: options.Jobs = 1

    def settings(self, output: Path, files: FileGroup, **more: bool) -> SeparateOptions:
        """Give them as the library takes them; raises `UsageError`.

        Parameters
        ----------
        output, files:
            Where to write, and what.
        more:
            Further settings of `SeparateOptions`.
        """
        return SeparateOptions(
            output=output,
            outputs=files.outputs(),
            model=self.model,
            device=self.device.lower(),
            soft=self.soft,
            segment_seconds=self.segment,
            precision=self.precision.lower(),
            shifts=self.shifts,
            threads=self.threads,
            max_memory=None if self.max_memory is None else parse_size(self.max_memory),
            jobs=self.jobs,
            **more,
        )


def _stem(name: str) -> str:
    """Give a stem's name as models write it, which those of the user may write otherwise."""
    small = name.strip().lower()
    return small if small in SOURCES else name.strip()


def takes_groups(command: Callable[_P, _R]) -> Callable[..., _R]:
    """Let Typer see the fields of a command's groups as if each were a parameter of its own.

    Parameters
    ----------
    command:
        Some of its parameters are dataclasses, whose fields are annotated for Typer.

    Returns
    -------
    Callable
        The same with all fields in place of the dataclasses, by keyword.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }

    @functools.wraps(command)
    def flat(**given: Any) -> _R:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            given[name] = kind(**{field: given.pop(field) for field in fields})
        return command(**given)  # type: ignore[call-arg]

    del flat.__wrapped__  # whoever unwraps would see the groups
    parameters = list(_flattened(command, hints))
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _flattened(command: Callable[..., object], hints: dict[str, Any]) -> Iterator[Parameter]:
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            inner = typing.get_type_hints(kind, include_extras=True)
            for field in dataclasses.fields(kind):
                yield Parameter(
                    field.name,
                    Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=inner[field.name],
                )
        else:
            yield parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind)
