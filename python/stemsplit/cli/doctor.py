"""``stemsplit doctor``: what is installed, whether it works, and the remedy for what does not."""

from __future__ import annotations

import importlib
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from stemsplit.cli.process import tune_process
from stemsplit.cli.version import EXTRAS, PACKAGES, installed
from stemsplit.errors import StemsplitError, installing

_REINSTALL = "install stemsplit again, as its README says"
_FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "AIFF": "PCM_16", "OGG": "VORBIS",
            "MP3": "MPEG_LAYER_III"}  # fmt: skip
_TEST_SECONDS = 3.0
_DRIVERS = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")
# What extras are imported as; museval's package wants FFmpeg, which only its metrics do without.
_MODULES = {"av": "av", "jinja2": "jinja2", "pillow": "PIL", "watchfiles": "watchfiles"}
_PURPOSES = {
    "av": "reads m4a, mp4, wma and the rest",
    "report": "--report",
    "watch": "stemsplit watch",
    "evaluate": "stemsplit evaluate",
}
_MARKS = {"ok": "[green]✓[/green]", "note": "[dim]–[/dim]", "wrong": "[red]✗[/red]"}


@dataclass(frozen=True)
class Check:
    """What a check found: ``ok``, a ``note`` on what is optional, or ``wrong`` with its remedy."""

    name: str
    status: str
    detail: str
    remedy: str | None = None


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of lines.")
    ] = False,
) -> int:
    """Check the installation: versions, extension, decoders, devices, models, and a test run.

    Every line that is wrong says what to do about it. The exit code is 0 if all is well, else 1.
    """
    tune_process()
    checks = list(run_checks())
    well = all(check.status != "wrong" for check in checks)
    if as_json:
        document = {"schema": 1, "ok": well, "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(checks, well)
    return 0 if well else 1


def run_checks() -> Iterator[Check]:
    """Run every check, whatever the others found."""
    for name, check in _CHECKS.items():
        try:
            yield from check()
        except StemsplitError as error:
            detail = " ".join(f"{error.what}: {error.got}".split())
            yield Check(name, "wrong", detail, error.remedy or _REINSTALL)
        except Exception as error:  # whatever a broken installation raises is the finding
            detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(name, "wrong", detail, _REINSTALL)


def _versions() -> Iterator[Check]:
    system = f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs"
    yield Check("stemsplit", "ok", f"{installed('stemsplit')}; {system}")
    for package in PACKAGES:
        number = installed(package)
        try:
            importlib.import_module(package)
        except Exception as error:  # a package may fail with anything while it loads
            remedy = f"pip install --force-reinstall {package}"
            yield Check(package, "wrong", f"does not import: {error}", remedy)
        else:
            yield Check(package, "ok", number or "there, without a version")


def _extension() -> Iterator[Check]:
    import numpy as np

    from stemsplit import dsp

    signal = np.random.default_rng(0).standard_normal((2, 44_100), np.float32)
    error = np.abs(dsp.istft(dsp.stft(signal), length=signal.shape[1]) - signal).max()
    kernels = f"{dsp.kernel_name()} kernel, of {', '.join(dsp.available_kernels())}"
    # float32 rounds at 6e-8, and a transform of 2048 points adds up a few dozen of them.
    if error < 1e-5:
        yield Check("extension", "ok", f"{kernels}; a round trip errs by {error:.0e}")
    else:
        remedy = f"try STEMSPLIT_KERNEL={dsp.available_kernels()[-1]}, and report it"
        yield Check("extension", "wrong", f"{kernels}; a round trip errs by {error:.0e}", remedy)


def _devices() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            memory = f"{facts.total_memory / 2**30:.0f} GiB"
            yield Check("CUDA", "ok", f"cuda:{index}: {facts.name}, {memory}")
    elif not (shutil.which("nvidia-smi") or any(Path(place).exists() for place in _DRIVERS)):
        yield Check("CUDA", "note", "no NVIDIA GPU found; songs are separated on the CPU")
    elif torch.version.cuda is None:
        remedy = "install a CUDA build of torch: https://pytorch.org/get-started/locally/"
        yield Check("CUDA", "wrong", f"a GPU, but torch {torch.__version__} is for CPUs", remedy)
    else:
        remedy = "update the NVIDIA driver, or install a torch for an older CUDA"
        detail = f"a GPU, but torch {torch.__version__} for CUDA {torch.version.cuda} cannot use it"
        yield Check("CUDA", "wrong", detail, remedy)


def _decoders() -> Iterator[Check]:
    import numpy as np
    import soundfile

    signal = np.random.default_rng(0).uniform(-0.5, 0.5, (4096, 2))
    works = []
    for name, subtype in _FORMATS.items():
        try:
            file = io.BytesIO()
            soundfile.write(file, signal, 44_100, format=name, subtype=subtype)
            file.seek(0)
            soundfile.read(file)
        except (soundfile.SoundFileError, ValueError) as error:
            remedy = "pip install --upgrade soundfile, which brings libsndfile 1.1 or newer"
            yield Check(name, "wrong", f"cannot be written and read: {error}", remedy)
        else:
            works.append(name)
    yield Check("libsndfile", "ok", f"{soundfile.__libsndfile_version__}: {', '.join(works)}")


def _extras() -> Iterator[Check]:
    for package, extra in EXTRAS.items():
        number = installed(package)
        fault = _import_fault(_MODULES[package]) if number and package in _MODULES else None
        if fault:
            yield Check(package, "wrong", f"does not import: {fault}", installing(extra))
        elif number:
            yield Check(package, "ok", f"{number} ({_PURPOSES[extra]})")
        else:
            missing = f"not installed ({_PURPOSES[extra]})"
            yield Check(package, "note", missing, installing(extra))


def _import_fault(module: str) -> str | None:
    """Tell why a module that is installed does not import; None where it does."""
    try:
        importlib.import_module(module)
    except Exception as error:  # with anything, as a library that is missing
        return str(error)
    return None


def _settings() -> Iterator[Check]:
    from stemsplit.cli.app import app
    from stemsplit.cli.config_file import config_path, configurable_commands, read_config

    path = config_path()
    read_config(path, configurable_commands(typer.main.get_command(app)))
    yield Check("configuration", "ok", f"{path}{'' if path.exists() else ' (not there: none)'}")
    variables = sorted(name for name in os.environ if name.startswith("STEMSPLIT_"))
    if variables:
        values = ", ".join(f"{name}={os.environ[name]}" for name in variables)
        strange = ", ".join(name for name in variables if name not in _known_variables())
        remedy = f"nothing reads {strange}: is it written right?" if strange else None
        yield Check("variables", "note", values, remedy)


def _defaults() -> Iterator[Check]:
    """Try what a song would be separated with, by the configuration file and the variables."""
    from stemsplit.cli.app import app
    from stemsplit.cli.groups import FileGroup, WorkGroup
    from stemsplit.cli.precedence import settled
    from stemsplit.infer import choose_device
    from stemsplit.models import find_card, read_card

    group = typer.main.get_command(app)
    command = group.commands["separate"]  # type: ignore[attr-defined]
    parent = command.context_class(group, info_name="stemsplit")
    context = command.make_context("separate", ["SONG", "-o", "FOLDER"], parent)
    given = context.params
    files = FileGroup(**{field.name: given[field.name] for field in fields(FileGroup)})
    work = WorkGroup(**{field.name: given[field.name] for field in fields(WorkGroup)})
    settings = settled(
        context, lambda out: work.settings(Path("FOLDER"), files.without(out)), vars(files)
    )
    card = read_card(find_card(settings.model))
    settings.outputs.names(card.sources)
    detail = f"{card.name} on {choose_device(settings.device)}, as {settings.outputs.format}"
    yield Check("defaults", "ok", detail)


def _known_variables() -> set[str]:
    from stemsplit.cli.app import app
    from stemsplit.cli.config_file import configurable_commands
    from stemsplit.trust import VARIABLE

    commands = configurable_commands(typer.main.get_command(app))
    options = {option.envvar for each in commands.values() for option in each.options().values()}
    return options | {"STEMSPLIT_KERNEL", "STEMSPLIT_NUM_THREADS", VARIABLE}


def _models() -> Iterator[Check]:
    import torch

    from stemsplit.models import find_card, load_network, own_models, packaged_models

    names = packaged_models()
    if not names:
        yield Check("models", "wrong", "none in the package", _REINSTALL)
    for name in (*names, *own_models()):
        try:
            card, _ = load_network(find_card(name), torch.device("cpu"))
        except StemsplitError as error:
            remedy = _REINSTALL if name in names else f'stemsplit models remove "{name}"'
            yield Check(f"model {name}", "wrong", f"{error.what}: {error.got}", remedy)
        else:
            detail = f"{card.parameters:,} parameters, SHA-256 verified ({card.sha256[:16]}…)"
            yield Check(f"model {name}", "ok", detail)


def _self_test() -> Iterator[Check]:
    import numpy as np

    from stemsplit.infer import choose_device
    from stemsplit.models import DEFAULT_MODEL
    from stemsplit.separate import Separator

    rate = 44_100
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (2, round(_TEST_SECONDS * rate)))
    for device in dict.fromkeys(str(choose_device(name)) for name in ("cpu", "auto")):
        separator = Separator(DEFAULT_MODEL, device)
        began = time.perf_counter()
        result = separator.separate(song.astype(np.float32), rate)
        took = time.perf_counter() - began
        sound = all(s.shape == song.shape and np.isfinite(s).all() for s in result.stems.values())
        speed = f"{_TEST_SECONDS:g} s of noise in {took:.2f} s with {DEFAULT_MODEL} on {device}"
        if sound:
            yield Check("self-test", "ok", speed)
        else:
            remedy = "pass --device cpu --precision float32, and report it"
            yield Check("self-test", "wrong", f"{speed}, and the stems are damaged", remedy)


_CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "versions": _versions,
    "extension": _extension,
    "CUDA": _devices,
    "decoders": _decoders,
    "extras": _extras,
    "configuration": _settings,
    "defaults": _defaults,
    "models": _models,
    "self-test": _self_test,
}


def _print(checks: list[Check], well: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from stemsplit.cli.consoles import table_console

    console = table_console()
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        remedy = f"\n[bold]→ {escape(check.remedy)}[/bold]" if check.remedy else ""
        table.add_row(_MARKS[check.status], check.name, escape(check.detail) + remedy)
    console.print(table, highlight=False)
    count = sum(check.status == "wrong" for check in checks)
    verdict = "all is well" if well else f"{count} thing{'s are' if count > 1 else ' is'} wrong"
    console.print(verdict, highlight=False)
