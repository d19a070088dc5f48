"""What is written for a song: formats, bit depths, which stems, and the names of the files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from stemsplit.errors import AudioError, UsageError, option_of

STATE_FOLDER: Final = ".stemsplit"
"""In an output folder: what it knows of itself, and what grows there."""

MIXTURE: Final = "mixture"
RESIDUAL: Final = "residual"
REST_PREFIX: Final = "no_"

EXTENSIONS: Final[Mapping[str, str]] = {
    "wav": "wav",
    "flac": "flac",
    "ogg": "ogg",
    "mp3": "mp3",
    "aiff": "aiff",
    "stem": "stem.mp4",
}
"""The ending of a file's name for each format."""

BIT_DEPTHS: Final[Mapping[str, str | None]] = {
    "source": None,
    "16": "PCM_16",
    "24": "PCM_24",
    "float32": "FLOAT",
}
"""libsndfile's subtype for each bit depth; None for the source's own."""

BITRATES: Final = (256, 320)
"""The constant bit rates of MP3 at which LAME does not lower the level, kbit/s."""

BITRATES_FROM: Final = 32_000
"""The lowest sample rate that has them, Hz."""

CLIP_POLICIES: Final = ("scale", "keep", "float")
TEMPLATE_FIELDS: Final = ("track", "stem", "ext", "model", "folder")
NI_STEMS: Final = ("drums", "bass", "other", "vocals")
"""The order of the stems in a ``.stem.mp4``, as in those of MUSDB18; the mixture is before them."""

_LOSSY: Final = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III", "stem": "AAC"}
_FLOATING: Final = {"wav", "aiff"}
_MP3_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_RATES: Final = (*_MP3_RATES[:-1], 48000, 64000, 88200, 96000)
_RATES: Final[Mapping[str, Sequence[int]]] = {"mp3": _MP3_RATES, "stem": _AAC_RATES}
_MOST_RATE: Final = {"ogg": 200_000, "flac": 655_350}
_FLAC_FINE: Final = 65_535  # Hz, up to which FLAC knows every rate
_MOST_CHANNELS: Final = {"flac": 8, "mp3": 2, "stem": 2, "ogg": 255, "aiff": 1024}
_BACKINGS: Final = ("instrumental", "accompaniment", "backing", "karaoke", "no_vocals")
_WITHOUT_VOCALS: Final = "the song without its vocals is the second file of --two-stems vocals"
_FIELD: Final = re.compile(r"\{([^{}]*)\}")

_KEPT: Final = {
    "PCM_S8": "PCM_16",
    "PCM_U8": "PCM_16",
    "PCM_16": "PCM_16",
    "PCM_24": "PCM_24",
    "PCM_32": "PCM_32",
    "ALAC_16": "PCM_16",
    "ALAC_20": "PCM_24",
    "ALAC_24": "PCM_24",
    "ALAC_32": "PCM_32",
    "DOUBLE": "DOUBLE",
}


@dataclass(frozen=True)
class Form:
    """How samples are stored.

    Attributes
    ----------
    format:
        A key of `EXTENSIONS`.
    subtype:
        libsndfile's.
    sample_rate, channels:
        Hz, and how many.
    bitrate:
        A constant one of MP3, kbit/s; None for the best variable one.
    """

    format: str
    subtype: str
    sample_rate: int
    channels: int
    bitrate: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether samples beyond full scale are lost, or are by those who play it."""
        return self.subtype not in ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class OutputOptions:
    """What to write for each song.

    Parameters
    ----------
    format:
        A key of `EXTENSIONS`.
    bit_depth:
        A key of `BIT_DEPTHS`. ``source`` keeps the song's, see `kept_subtype`.
    bitrate:
        One of `BITRATES`, for MP3; None for its best variable one.
    filename:
        Template of each file's name below the output folder: ``/`` makes folders, and
        ``{track}``, ``{stem}``, ``{ext}``, ``{model}`` and ``{folder}`` (the one the song is in)
        are replaced.
    stems:
        The stems to write; None for all.
    two_stems:
        A stem to write together with what the mixture is without it, ``no_`` before its name.
    residual:
        Write what the stems written leave of the mixture as well.
    clip:
        When a stem goes beyond full scale of a format that has one: ``scale`` all stems by one
        gain so that none does, ``keep`` the level and clip, or write all as ``float``.
    tags:
        Copy the song's tags and cover.

    Raises
    ------
    UsageError
        A value, or a combination, that cannot be meant.
    """

    format: str = "wav"
    bit_depth: str = "source"
    bitrate: int | None = None
    filename: str = "{stem}.{ext}"
    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    residual: bool = False
    clip: str = "scale"
    tags: bool = True

    def __post_init__(self) -> None:
        _one_of("format", self.format, EXTENSIONS)
        _one_of("bit_depth", self.bit_depth, BIT_DEPTHS)
        _one_of("clip", self.clip, CLIP_POLICIES)
        if self.two_stems is not None and (self.stems is not None or self.residual):
            raise UsageError(
                "--two-stems goes with neither --stems nor --residual",
                remedy="its two files add up to the song already",
                options=self._given("two_stems", "stems", "residual"),
            )
        if self.stems is not None and (not self.stems or len(set(self.stems)) < len(self.stems)):
            raise UsageError(
                "bad --stems", got=",".join(self.stems), wanted="each stem once", options=["stems"]
            )
        self._check_format()
        self._check_template()

    def names(self, sources: Sequence[str]) -> tuple[str, ...]:
        """Name what is written for a model of these sources; raises `UsageError` for unknown ones.

        For ``stem`` they are the streams of the one file, the mixture first.
        """
        for stem in self.stems or (self.two_stems,):
            if stem is not None and stem not in sources:
                raise UsageError(
                    "no such stem",
                    got=stem,
                    wanted=f"one the model has: {', '.join(sources)}",
                    remedy=_WITHOUT_VOCALS if stem.lower() in _BACKINGS else None,
                )
        if self.format == "stem":
            if set(sources) != set(NI_STEMS):
                raise UsageError(
                    "--format stem needs a model of four stems",
                    got=", ".join(sources),
                    wanted=", ".join(NI_STEMS),
                )
            return (MIXTURE, *NI_STEMS)
        if self.two_stems is not None:
            return (self.two_stems, REST_PREFIX + self.two_stems)
        chosen = tuple(stem for stem in sources if self.stems is None or stem in self.stems)
        return (*chosen, RESIDUAL) if self.residual else chosen

    def paths(
        self, names: Sequence[str], *, track: str, model: str, folder: str
    ) -> dict[str, PurePosixPath]:
        """Give the path below the output folder of each name that `names` gave.

        For ``stem`` all of them are one path.
        """
        fields = {"track": track, "folder": folder, "ext": EXTENSIONS[self.format]}
        fields["model"] = model.replace("/", "_")
        if self.format == "stem":
            return dict.fromkeys(names, self._path({**fields, "stem": "stems"}))
        return {name: self._path({**fields, "stem": name}) for name in names}

    def _path(self, fields: Mapping[str, str]) -> PurePosixPath:
        template = self.filename
        if self.format == "stem":  # one file: by default not in a folder of its own
            template = template.replace("{track}/{stem}.", "{track}.")
        path = _FIELD.sub(lambda field: fields[field[1]], template)
        parts = path.split("/")
        if {"", ".", ".."} & set(parts):
            raise UsageError(
                "--filename leads nowhere", got=path, wanted="names that are not empty"
            )
        if STATE_FOLDER in map(str.casefold, parts):
            raise UsageError(
                "--filename leads into stemsplit's own folder",
                got=path,
                wanted=f"names other than {STATE_FOLDER}",
            )
        return PurePosixPath(path)

    def form(self, source: Form, song: object = "the song") -> Form:
        """Give how to store the stems of a song that is stored so; nothing is resampled.

        An error calls the song as it is called here.

        Raises
        ------
        AudioError
            The format cannot hold the song's sample rate or channels.
        """
        subtype = _LOSSY.get(self.format) or BIT_DEPTHS[self.bit_depth]
        if subtype is None:
            subtype = kept_subtype(source.subtype)
            if self.format == "flac" and subtype != "PCM_16":
                subtype = "PCM_24"  # the most FLAC holds, as libsndfile writes it
        self._check_room(source, song)
        return Form(self.format, subtype, source.sample_rate, source.channels, self.bitrate)

    def _check_room(self, source: Form, song: object) -> None:
        rates = _RATES.get(self.format)
        most = _MOST_RATE.get(self.format, source.sample_rate)
        if source.sample_rate > most or (rates and source.sample_rate not in rates):
            raise AudioError(
                f"{self.format} cannot hold the sample rate of {song}",
                got=f"{source.sample_rate} Hz",
                wanted=f"one of {', '.join(map(str, rates))} Hz" if rates else f"at most {most} Hz",
                remedy="choose --format wav",
            )
        if self.bitrate is not None and source.sample_rate < BITRATES_FROM:
            raise AudioError(
                f"{self.format} has no such bit rate at the sample rate of {song}",
                got=f"{self.bitrate} kbit/s at {source.sample_rate} Hz",
                wanted=f"{BITRATES_FROM} Hz or more",
                remedy="leave --bitrate out",
            )
        if self.format == "flac" and source.sample_rate > _FLAC_FINE and source.sample_rate % 10:
            raise AudioError(
                f"flac cannot hold the sample rate of {song}",
                got=f"{source.sample_rate} Hz",
                wanted=f"tens of Hz above {_FLAC_FINE} Hz",
                remedy="choose --format wav",
            )
        if source.channels > _MOST_CHANNELS.get(self.format, source.channels):
            raise AudioError(
                f"{self.format} cannot hold the channels of {song}",
                got=source.channels,
                wanted=f"at most {_MOST_CHANNELS[self.format]}",
                remedy="choose --format wav",
            )

    def _check_format(self) -> None:
        if self.format in _LOSSY and self.bit_depth != "source":
            raise UsageError(
                f"--format {self.format} has no bit depth",
                got=f"--bit-depth {self.bit_depth}",
                remedy="leave --bit-depth out, or choose wav, flac or aiff",
                options=["format", "bit_depth"],
            )
        if self.bitrate is not None and self.format != "mp3":
            raise UsageError(
                "--bitrate is for MP3",
                got=f"--format {self.format}",
                remedy="leave it out, or choose mp3",
                options=["format", "bitrate"],
            )
        if self.bitrate is not None and self.bitrate not in BITRATES:
            wanted = f"kbit/s, {' or '.join(map(str, BITRATES))}"
            raise UsageError("bad --bitrate", got=self.bitrate, wanted=wanted, options=["bitrate"])
        for name, value in (("bit_depth", self.bit_depth), ("clip", self.clip)):
            if value.startswith("float") and self.format not in _FLOATING:
                raise UsageError(
                    f"--format {self.format} cannot hold floats",
                    got=f"{option_of(name)} {value}",
                    remedy="choose --format wav or aiff",
                    options=["format", name],
                )
        if self.format == "stem" and (self.stems or self.two_stems or self.residual):
            raise UsageError(
                "--format stem always holds the mixture and the four stems",
                remedy="leave --stems, --two-stems and --residual out",
                options=self._given("format", "stems", "two_stems", "residual"),
            )

    def _given(self, *options: str) -> list[str]:
        """Give those of the options that ask for something."""
        return [name for name in options if getattr(self, name)]

    def _check_template(self) -> None:
        fields = _FIELD.findall(self.filename)
        plain = _FIELD.sub("x", self.filename)
        unknown = [field for field in fields if field not in TEMPLATE_FIELDS]
        if unknown or "{" in plain or "}" in plain:
            raise UsageError(
                "bad --filename",
                got=self.filename,
                wanted=" ".join(f"{{{field}}}" for field in TEMPLATE_FIELDS),
                options=["filename"],
            )
        parts = plain.split("/")
        if "\\" in plain or "\0" in plain or any(part in ("", ".", "..") for part in parts):
            raise UsageError(
                "bad --filename",
                got=self.filename,
                wanted="a path below the output folder, without .. and without / at its ends",
                options=["filename"],
            )
        if not self.filename.lower().endswith((".{ext}", f".{EXTENSIONS[self.format]}")):
            raise UsageError(
                "bad --filename",
                got=self.filename,
                wanted=".{ext} at its end, as players go by it",
                options=["filename", "format"],
            )
        if self.format != "stem" and "stem" not in fields:
            raise UsageError(
                "bad --filename",
                got=self.filename,
                wanted="{stem} in it, as stems differ by it",
                options=["filename", "format"],
            )


def kept_subtype(source: str) -> str:
    """Give the subtype that keeps what a source subtype holds.

    Integer PCM and lossless codecs keep their depth (8 bit becomes 16: stems of 8-bit noise help
    nobody). Everything else, the lossy codecs among it, becomes ``FLOAT``: their decoders
    overshoot full scale, and an integer file would clip what they give.
    """
    return _KEPT.get(source, "FLOAT")


def _one_of(name: str, value: str, known: Sequence[str] | Mapping[str, object]) -> None:
    if value not in known:
        raise UsageError(
            f"bad {option_of(name)}", got=value, wanted=" or ".join(known), options=[name]
        )
