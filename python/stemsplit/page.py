"""A page about one song: what was separated, how it looks, and how it sounds.

One HTML file that needs nothing else, made from the song and its written stems in memory that
their length does not change.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import math
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat, takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemsplit.audio import AudioReader
from stemsplit.errors import MissingExtraError, installing
from stemsplit.files import replaced
from stemsplit.portrait import PIECE_SECONDS, Portrait, Scale, portrait_of

if TYPE_CHECKING:
    from PIL import Image

GENERATOR = '<meta name="generator" content="stemsplit">'
"""What every page says in its first lines."""

_TEMPLATES = Path(__file__).parent / "templates"
_BLOCK_SAMPLES = 1 << 17
_RANGE_DB = 80.0
_TICKS_HZ = (100, 1000, 10_000)
_CHART_POINTS, _CHART_WIDTH, _CHART_HEIGHT = 250, 1000, 160
# Colours of the heat map, from silence to the loudest cell.
_HEAT = ("#0b0d17", "#2a1b52", "#7b2469", "#d0463f", "#f59b3b", "#fdf3c6")


@dataclass(frozen=True)
class PageFacts:
    """What a page says about how its stems came to be.

    Attributes
    ----------
    title:
        Of the page: the song's name.
    settings:
        Names and values, in the order to show them.
    timings:
        Seconds by stage.
    """

    title: str
    settings: Mapping[str, object]
    timings: Mapping[str, float]


def check_page_extra() -> None:
    """See that the optional packages are there, before hours of work depend on them.

    Raises
    ------
    MissingExtraError
        Jinja2 or Pillow is not installed.
    """
    for name, package in {"jinja2": "Jinja2", "PIL": "Pillow"}.items():
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                "cannot write a report",
                got=f"no {package}",
                wanted="Jinja2 and Pillow",
                remedy=installing("report"),
            )


def write_page(path: Path, mixture: Path, stems: Mapping[str, Path], facts: PageFacts) -> None:
    """Write the page of a song.

    Parameters
    ----------
    path:
        The HTML file; it appears when it is complete, in place of one that is there.
    mixture, stems:
        Audio files of one sample rate; the stems by name, in the order to show them.
    facts:
        What else to say.

    Raises
    ------
    MissingExtraError
        Jinja2 or Pillow is not installed.
    InputError, AudioError
        A file cannot be read.
    OutputError
        The page cannot be written.
    """
    check_page_extra()
    import jinja2

    samples = _count_samples(mixture)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    tracks = {"mixture": mixture, **stems}
    # Encoding the sound takes nearly all of the time, and does so outside Python's lock.
    with ExitStack() as files, replaced(path) as temporary, ThreadPoolExecutor() as pool:
        beside = temporary.parent  # on the same disk, which is the one that is known to have room
        stop = threading.Event()
        audio = [files.enter_context(tempfile.TemporaryFile(dir=beside)) for _ in tracks]
        try:
            measured = pool.map(_portrait, tracks.values(), repeat(samples), audio, repeat(stop))
            portraits = dict(zip(tracks, measured, strict=True))
        except BaseException:  # an error in one of them, or Ctrl-C here
            stop.set()
            raise
        template.stream(_context(portraits, facts)).dump(str(temporary), encoding="utf-8")


def _count_samples(path: Path) -> int:
    """Count the samples, as a header may not say how many there are."""
    with AudioReader(path) as reader:
        return sum(block.shape[1] for block in reader.blocks(_BLOCK_SAMPLES))


def _portrait(path: Path, samples: int, audio: IO[bytes], stop: threading.Event) -> Portrait:
    with AudioReader(path) as reader:
        scale = Scale(reader.sample_rate, samples)
        blocks = takewhile(lambda _: not stop.is_set(), reader.blocks(_BLOCK_SAMPLES))
        return portrait_of(blocks, reader.channels, scale, audio)


def _context(portraits: Mapping[str, Portrait], facts: PageFacts) -> dict[str, Any]:
    mixture = portraits["mixture"]
    from markupsafe import Markup  # comes with Jinja2

    scale = mixture.scale
    seconds = scale.samples / scale.sample_rate
    loudest = max(float(portrait.power.max()) for portrait in portraits.values())
    longest = max(facts.timings.values(), default=0.0)
    ticks = [hz for hz in _TICKS_HZ if hz < 0.9 * scale.top_hz]
    return {
        "generator": Markup(GENERATOR),
        "title": _text(facts.title),
        "settings": {name: _text(value) for name, value in facts.settings.items()},
        "timings": [
            (stage, f"{took:.2f} s", f"{seconds / took:.1f}" if took >= 0.005 else "–",
             round(100 * took / longest, 1) if longest else 0)
            for stage, took in facts.timings.items()
        ],
        "tracks": [_track(*item, loudest) for item in portraits.items()],
        "ticks": [(f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz",
                   round(100 * scale.height_of(hz), 1)) for hz in ticks],
        "chart": _chart({name: p for name, p in portraits.items() if name != "mixture"}),
        "chart_size": (_CHART_WIDTH, _CHART_HEIGHT),
        "player": {"seconds": seconds, "pieceSeconds": PIECE_SECONDS, "rate": mixture.play_rate},
    }  # fmt: skip


def _track(name: str, portrait: Portrait, loudest: float) -> dict[str, Any]:
    return {
        "name": name,
        "peak": _decibels(portrait.peak),
        "rms": _decibels(portrait.rms),
        "picture": _data_uri(picture(portrait.power, loudest)),
        "pieces": _base64_pieces(portrait),
    }


def _base64_pieces(portrait: Portrait) -> Iterator[str]:
    for piece in portrait.pieces():
        yield base64.b64encode(piece).decode("ascii")


def _text(value: object) -> str:
    """Give a value as text; a file's name may hold bytes that are none."""
    return str(value).encode(errors="backslashreplace").decode()


def _decibels(amplitude: float) -> str:
    if amplitude <= 0:
        return "−∞ dB"
    return f"{20 * math.log10(amplitude):.1f} dB".replace("-", "−")


def picture(power: npt.NDArray[np.float32], loudest: float) -> Image.Image:
    """Draw a spectrogram.

    Parameters
    ----------
    power:
        float32 (columns, rows), rows from low to high, as `Portrait.power` is.
    loudest:
        The power that is the top of the scale; 80 dB below it is its bottom.
    """
    from PIL import Image, ImageColor

    floor = max(loudest, 1e-20) * 10 ** (-_RANGE_DB / 10)
    decibels = 10 * np.log10(np.maximum(power, floor) / floor)
    levels = np.round(255 * decibels / _RANGE_DB).astype(np.uint8)
    colours = np.array([ImageColor.getrgb(colour) for colour in _HEAT])
    steps = np.linspace(0, len(colours) - 1, 256)
    palette = np.stack([np.interp(steps, range(len(colours)), c) for c in colours.T], axis=1)
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]))
    image.putpalette(palette.round().astype(np.uint8).tobytes())
    return image


def _data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _chart(stems: Mapping[str, Portrait]) -> list[tuple[str, str, str]]:
    """Draw how the stems share the energy: an SVG path for each, stacked, and its mean share."""
    energies = np.array([portrait.energy for portrait in stems.values()])
    groups = np.array_split(energies, min(_CHART_POINTS, energies.shape[1]), axis=1)
    energy = np.stack([group.sum(axis=1) for group in groups], axis=1)
    total = energy.sum(axis=0)
    shares = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    tops = np.cumsum(shares, axis=0)
    x = np.linspace(0, _CHART_WIDTH, shares.shape[1] + 1)
    paths = []
    for name, top, share, own in zip(stems, tops, shares, energy, strict=True):
        path = f"{_edge(x, top)}{_edge(x, top - share, back=True)}Z"
        mean = own.sum() / total.sum() if total.sum() > 0 else 0.0
        paths.append((name, path, f"{mean:.0%}"))
    return paths


def _edge(
    x: npt.NDArray[np.float64], heights: npt.NDArray[np.float64], *, back: bool = False
) -> str:
    """Give the steps of one edge of an area, from the left or back from the right."""
    points = []
    for left, right, height in zip(x[:-1], x[1:], heights, strict=True):
        y = _CHART_HEIGHT * (1 - min(max(height, 0), 1))
        points += [f"{left:.1f} {y:.1f}", f"{right:.1f} {y:.1f}"]
    if back:
        return "L" + "L".join(reversed(points))
    return "M" + "L".join(points)
