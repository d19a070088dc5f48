"""Measure what could be had of a trained model: shifts, ensembles, a Wiener filter, half.

    python benchmarks/gains.py DIR [--model NAME] [--with CARD]

Each way separates every song of a collection with known stems; the figure is the plain energy ratio
over the excerpt and both channels (``snr`` of ``stemsplit evaluate``), mean over songs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common import SAMPLE_RATE, machine, machine_line, markdown, publish
from stemsplit import Separator, dsp, metrics
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks, read_track
from stemsplit.level import AS_IT_IS

N_FFT, HOP_LENGTH = 4096, 1024
Way = Callable[[np.ndarray], np.ndarray]


def separating(separator: Separator) -> Way:
    """Give the plain way: mixture (2, samples) to stems (4, 2, samples)."""

    def separate(mixture: np.ndarray) -> np.ndarray:
        stems = separator.separate(np.ascontiguousarray(mixture), SAMPLE_RATE, soft=True).stems
        return np.stack([stems[source] for source in SOURCES])

    return separate


def louder(separator: Separator, decibels: float, *, helped: bool) -> Way:
    """Separate the mixture that much louder, heard as such or as the command hears it."""
    factor = np.float32(10 ** (decibels / 20))

    def separate(mixture: np.ndarray) -> np.ndarray:
        song = mixture * factor
        gains = separator.gains_for([song]) if helped else AS_IT_IS
        pieces = separator.separate_blocks(iter([song]), SAMPLE_RATE, 2, soft=True, gains=gains)
        return np.concatenate(list(pieces), axis=2) / factor

    return separate


def swapped(plain: Way) -> Way:
    """Mean of both orders of the channels."""
    return lambda mixture: (plain(mixture) + plain(mixture[::-1])[:, ::-1]) / 2


def together(one: Way, other: Way) -> Way:
    """Mean of two models."""
    return lambda mixture: (one(mixture) + other(mixture)) / 2


def wiener(plain: Way) -> Way:
    """One iteration of expectation maximisation, by norbert, from the plain stems."""
    from norbert import expectation_maximization

    def transform(signal: np.ndarray) -> np.ndarray:
        return dsp.stft(np.ascontiguousarray(signal), N_FFT, HOP_LENGTH).astype(np.complex128)

    def separate(mixture: np.ndarray) -> np.ndarray:
        mix = transform(mixture).transpose(1, 2, 0)
        stems = np.stack([transform(stem) for stem in plain(mixture)]).transpose(2, 3, 1, 0)
        scale = max(1.0, float(np.abs(mix).max()) / 10)  # as norbert's own wrapper does
        filtered = scale * expectation_maximization(stems / scale, mix / scale, iterations=1)[0]
        spectra = np.ascontiguousarray(filtered.transpose(3, 2, 0, 1)).astype(np.complex64)
        length = mixture.shape[1]
        return np.stack([dsp.istft(spec, N_FFT, HOP_LENGTH, length=length) for spec in spectra])

    return separate


def measure(root: Path, model: str, second: str | None) -> dict[str, Any]:
    """Separate every song in every way; a second model stands for an ensemble's."""
    separator = Separator(model, "cpu")
    plain = separating(separator)
    ways = {
        "plain": plain,
        **{
            f"`--precision {precision}`": separating(Separator(model, "cpu", precision=precision))
            for precision in ("float32", "half")
        },
        **{
            f"`--shifts {shifts}`": separating(Separator(model, "cpu", shifts=shifts))
            for shifts in (2, 3, 4, 5, 10)
        },
        "mean of both channel orders": swapped(plain),
        **{
            f"song {abs(decibels)} dB {'louder' if decibels > 0 else 'quieter'}{note}": louder(
                separator, decibels, helped=helped
            )
            for decibels in (-12, -18, -30, 12, 24)
            for note, helped in ((", heard as it is", False), ("", True))
        },
    }
    if second is not None:
        other = separating(Separator(second, "cpu"))
        ways[f"the other model alone: {Path(second).stem}"] = other
        ways["mean of both models"] = together(plain, other)
    try:
        ways["Wiener filter, one iteration (norbert)"] = wiener(plain)
    except ImportError:
        print("the Wiener filter is left out: norbert is not installed")
    found: dict[str, dict[str, list[float]]] = {way: {s: [] for s in SOURCES} for way in ways}
    for track in find_tracks(root):
        audio = read_track(track)
        if (len(audio.mixture), audio.sample_rate) != (2, SAMPLE_RATE):
            raise SystemExit(f"{track.name}: wanted stereo at {SAMPLE_RATE} Hz")
        for way, separate in ways.items():
            estimates = separate(audio.mixture)
            for index, source in enumerate(SOURCES):
                if source in audio.present:
                    ratio = metrics.snr(audio.stems[index], estimates[index])
                    found[way][source].append(ratio)
    means = {
        way: {source: float(np.nanmean(values)) for source, values in by_source.items()}
        for way, by_source in found.items()
    }
    packages = ("stemsplit", "numpy", "torch", "norbert")
    return {**machine(packages), "model": model, "collection": root.name, "means": means}


def table(report: dict[str, Any]) -> list[str]:
    """Render the report as markdown."""
    rows = []
    for way, by_source in report["means"].items():
        values = [*by_source.values(), float(np.mean(list(by_source.values())))]
        rows.append([way, *(f"{value:.2f}" for value in values)])
    head = [f"SDR in dB, `{report['model']}`", *SOURCES, "mean"]
    return [machine_line(report), "", *markdown(head, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", metavar="DIR", type=Path, help="tracks in a layout of MUSDB18")
    parser.add_argument("--model", default="base")
    parser.add_argument("--with", dest="second", metavar="CARD", help="of an ensemble of two")
    parser.add_argument("--print", action="store_true", help="do not keep the table")
    arguments = parser.parse_args()
    report = measure(arguments.root, arguments.model, arguments.second)
    publish("gains", report, table(report), keep=not arguments.print)


if __name__ == "__main__":
    main()
