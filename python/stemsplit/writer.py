"""The files of one song, written side by side and brought to one common level at the end."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from stemsplit.dsp_arguments import cpus
from stemsplit.encode import Encoder, WavEncoder, estimated_bytes, open_encoder
from stemsplit.errors import output_error
from stemsplit.outputs import EXTENSIONS, Form
from stemsplit.stem_mp4 import StemMp4Encoder
from stemsplit.wav import is_integer, wav_header

Block = npt.NDArray[np.float32]

_READ_SAMPLES = 1 << 16


@dataclass(frozen=True)
class Written:
    """The complete files of a song.

    Attributes
    ----------
    files:
        By name, where they lie until they are moved to their place.
    form:
        How they are stored: floats instead of the integers asked for where ``--clip float`` says.
    gain_db:
        The level of all of them against the mixture.
    clipped:
        Samples cut at full scale, over all channels, of each file that has any.
    """

    files: dict[str, Path]
    form: Form
    gain_db: float
    clipped: dict[str, int]


class SongWriter:
    """Writes the files of one song into a folder of their own.

    Floats are written as they come. Formats with a full scale are, too, where clipping is to be
    kept; otherwise the samples wait in files of floats until the song's peak is known. A context
    manager, which closes the files; it leaves them to the owner of the folder to remove.

    Parameters
    ----------
    folder:
        Must exist and be empty.
    names:
        Of the files; of the streams for the format ``stem``.
    form:
        How to store them.
    clip:
        A policy of `stemsplit.outputs.CLIP_POLICIES`.
    threads:
        Files encoded at a time; one for each CPU by default.

    Raises
    ------
    OutputError
        A file cannot be created or, in the other methods, written.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        form: Form,
        clip: str,
        threads: int | None = None,
    ) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._form = form
        self._clip = clip
        self._threads = threads or cpus()
        self._peaks = [0.0] * len(self._names)
        self._clipped = [0] * len(self._names)
        self._spooled = needs_spool(form, clip)
        self._open: list[Encoder] = []
        try:
            for path in self._paths("f32" if self._spooled else EXTENSIONS[form.format]):
                self._open.append(
                    WavEncoder(path, _spool_form(form), sync=False)
                    if self._spooled
                    else open_encoder(path, form)
                )
        except OSError as error:
            self._abort()
            raise output_error(folder, error) from error

    def __enter__(self) -> SongWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abort()

    def write(self, block: Block) -> None:
        """Append a block to every file: float32 (files, channels, samples)."""
        if block.ndim != 3 or block.shape[:2] != (len(self._names), self._form.channels):
            raise ValueError(
                f"bad block: got {block.shape}, wanted"
                f" ({len(self._names)}, {self._form.channels}, samples)"
            )
        if not block.shape[2]:
            return
        try:
            for index, samples in enumerate(block):
                self._measure(index, samples)
                self._open[index].write(samples)
        except OSError as error:
            raise output_error(self._folder, error) from error

    def finish(self) -> Written:
        """Complete the files, on the disk; raises `OutputError`."""
        try:
            for encoder in self._open:
                encoder.close()
            if not self._spooled:
                clipped = dict(zip(self._names, self._clipped, strict=True))
                files = dict(
                    zip(self._names, self._paths(EXTENSIONS[self._form.format]), strict=True)
                )
                return Written(
                    files, self._form, 0.0, {name: n for name, n in clipped.items() if n}
                )
            return self._converted()
        except OSError as error:
            raise output_error(self._folder, error) from error

    def _measure(self, index: int, samples: Block) -> None:
        peak = max(float(samples.max()), -float(samples.min()))
        self._peaks[index] = max(self._peaks[index], peak)
        if peak > 1 and is_integer(self._form.subtype):
            self._clipped[index] += int(np.count_nonzero(np.abs(samples) > 1))

    def _converted(self) -> Written:
        """Bring the waiting floats to their format and level."""
        peak = max(self._peaks)
        form, gain = self._form, 1.0
        if peak > 1 and self._clip == "float":
            form = replace(form, subtype="FLOAT")
        elif peak > 1 and self._clip == "scale":
            gain = 1 / peak
        spools = list(self._paths("f32"))
        if form.format == "stem":
            path = self._folder / f"0.{EXTENSIONS['stem']}"
            self._encode_together(spools, path, form, gain)
            files = dict.fromkeys(self._names, path)
        else:
            paths = list(self._paths(EXTENSIONS[form.format]))
            self._encode_each(spools, paths, form, gain)
            files = dict(zip(self._names, paths, strict=True))
        return Written(files, form, 20 * math.log10(gain), {})

    def _encode_each(
        self, spools: Sequence[Path], paths: Sequence[Path], form: Form, gain: float
    ) -> None:
        """Encode the files side by side, as MP3 and Vorbis take longer than the network."""
        stop = threading.Event()

        def encode_one(spool: Path, path: Path) -> None:
            encoder = open_encoder(path, form)
            self._open.append(encoder)
            for samples in _spool_blocks(spool, form, gain):
                if stop.is_set():
                    return
                encoder.write(samples)
            encoder.close()
            spool.unlink()

        with ThreadPoolExecutor(min(len(paths), self._threads)) as pool:
            try:
                for _ in pool.map(encode_one, spools, paths):
                    pass
            except BaseException:  # an error in one of them, or Ctrl-C here
                stop.set()
                raise

    def _encode_together(self, spools: Sequence[Path], path: Path, form: Form, gain: float) -> None:
        encoder = StemMp4Encoder(path, form, self._names)
        self._open.append(encoder)
        for blocks in zip(*(_spool_blocks(spool, form, gain) for spool in spools), strict=True):
            encoder.write_streams(blocks)
        encoder.close()
        for spool in spools:
            spool.unlink()

    def _abort(self) -> None:
        for encoder in self._open:
            encoder.abort()

    def _paths(self, extension: str) -> Iterator[Path]:
        return (self._folder / f"{index}.{extension}" for index in range(len(self._names)))


def needs_spool(form: Form, clip: str) -> bool:
    """Tell whether samples wait as floats until the song's peak is known."""
    return form.format == "stem" or (form.bounded and clip != "keep")


def needed_bytes(form: Form, files: int, clip: str, frames: int) -> int:
    """Estimate the most that writing a song takes on the disk at any time."""
    size = estimated_bytes(form, frames)
    if not needs_spool(form, clip):
        return files * size
    return files * (estimated_bytes(_spool_form(form), frames) + size)


def _spool_form(form: Form) -> Form:
    return Form("wav", "FLOAT", form.sample_rate, form.channels)


def _spool_blocks(path: Path, form: Form, gain: float) -> Iterator[Block]:
    spool = _spool_form(form)
    header = len(wav_header(spool.sample_rate, spool.channels, spool.subtype, 0))
    with path.open("rb") as file:
        file.seek(header)
        while data := file.read(_READ_SAMPLES * 4 * form.channels):
            frames = np.frombuffer(data, "<f4").reshape(-1, form.channels)
            yield frames.T if gain == 1 else frames.T * np.float32(gain)
