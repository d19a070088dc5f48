"""SoundFonts: which presets a file has, read from its header."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from stemsplit.errors import InputError

DRUM_BANK = 128
# Roland's GS kits above this one are an orchestra's and sound effects.
_LAST_BAND_KIT = 47
_HEADER_BYTES = 38  # of a preset: SoundFont 2.04, section 7.2


@dataclass(frozen=True)
class SoundFont:
    """A SoundFont: where it is, and the (bank, program) of its presets, sorted."""

    path: Path
    presets: tuple[tuple[int, int], ...]

    @property
    def kits(self) -> tuple[tuple[int, int], ...]:
        """The presets to play drums with; any, in a file that has nothing in the drums' bank."""
        banked = tuple(p for p in self.presets if p[0] == DRUM_BANK and p[1] <= _LAST_BAND_KIT)
        return banked or self.presets

    @property
    def has_instruments(self) -> bool:
        """Whether it can play a whole band: it has both instruments and drums."""
        banks = {bank == DRUM_BANK for bank, _ in self.presets}
        return banks == {True, False}


def read_soundfont(path: Path) -> SoundFont:
    """Read the presets of an ``.sf2`` or ``.sf3`` file.

    Raises
    ------
    InputError
        It is missing, or no SoundFont.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) + file.read(8)[4:] != b"RIFFsfbk":
                raise ValueError("another kind of file")
            while True:
                kind, size = struct.unpack("<4sI", file.read(8))
                if kind == b"LIST" and file.read(4) == b"pdta":
                    break
                file.seek(size - 4 * (kind == b"LIST") + size % 2, 1)
            while True:
                kind, size = struct.unpack("<4sI", file.read(8))
                if kind == b"phdr":
                    break
                file.seek(size + size % 2, 1)
            headers = file.read(size)
    except (OSError, ValueError, struct.error) as error:
        reason = "an incomplete file" if isinstance(error, struct.error) else error
        raise InputError(
            f"cannot read SoundFont {path}", got=reason, wanted="an .sf2 or .sf3 file"
        ) from error
    presets = set()
    for start in range(0, len(headers) - _HEADER_BYTES, _HEADER_BYTES):  # the last only ends them
        program, bank = struct.unpack_from("<20xHH", headers, start)
        presets.add((bank, program))
    if not presets:
        raise InputError(f"no presets in SoundFont {path}")
    return SoundFont(path, tuple(sorted(presets)))
