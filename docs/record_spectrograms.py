"""Writes docs/spectrograms.png: the demo song by the paper's network and by the default model.

python docs/record_spectrograms.py, with stemsplit and its extra report.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

from stemsplit import Separator
from stemsplit.config import SOURCES
from stemsplit.page import picture
from stemsplit.portrait import Portrait, Scale

DOCS = Path(__file__).parent
MODELS = ("paper", "base")
CELL, GAP, MARGIN, TOP = (400, 128), 8, 64, 24


def power_of(stem: np.ndarray, sample_rate: int) -> np.ndarray:
    """Give a stem's spectrogram: float32 (columns, rows)."""
    portrait = Portrait(Scale(sample_rate, stem.shape[1]), len(stem), io.BytesIO())
    portrait.add(stem)
    portrait.finish()
    return portrait.power


def main() -> None:
    """Separate the song by each model in its own way, and draw what comes out."""
    samples, sample_rate = soundfile.read(DOCS.parent / "demo" / "potassium.ogg", dtype="float32")
    song = np.ascontiguousarray(samples.T)
    loudest = float(power_of(song, sample_rate).max())
    width = MARGIN + len(MODELS) * (CELL[0] + GAP)
    height = TOP + len(SOURCES) * (CELL[1] + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, model in enumerate(MODELS):
        separator = Separator(model, "cpu")
        stems = separator.separate(song, sample_rate).stems
        left = MARGIN + column * (CELL[0] + GAP)
        way = "soft masks" if separator.card.soft else "hard masks"
        draw.text((left, 6), f"{model}, {way}, {separator.parameters:,} parameters", "black")
        for row, source in enumerate(SOURCES):
            top = TOP + row * (CELL[1] + GAP)
            cell = picture(power_of(stems[source], sample_rate), loudest).convert("RGB")
            sheet.paste(cell.resize(CELL, Image.Resampling.BOX), (left, top))
            if not column:
                draw.text((4, top + CELL[1] // 2 - 6), source, "black")
    sheet.quantize(96).save(DOCS / "spectrograms.png", optimize=True)


if __name__ == "__main__":
    main()
