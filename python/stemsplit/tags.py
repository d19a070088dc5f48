"""Tags and cover art, copied from a song to its stems, whatever the formats."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import mutagen
import soundfile
from mutagen.aiff import AIFF
from mutagen.apev2 import APETextValue
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, Frames
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from stemsplit.errors import output_error

MOST_COVER_BYTES: Final = (1 << 24) - 1024
"""A larger cover is left out: FLAC holds 16 MiB, with what it says of the picture."""


class _Keys(NamedTuple):
    """What a field is called in ID3v2.4, MP4 and ASF; Vorbis comments use the name itself."""

    id3: str
    mp4: str
    asf: str


_ITUNES: Final = "----:com.apple.iTunes:"
_KEYS: Final = {
    "title": _Keys("TIT2", "\xa9nam", "Title"),
    "artist": _Keys("TPE1", "\xa9ART", "Author"),
    "album": _Keys("TALB", "\xa9alb", "WM/AlbumTitle"),
    "albumartist": _Keys("TPE2", "aART", "WM/AlbumArtist"),
    "composer": _Keys("TCOM", "\xa9wrt", "WM/Composer"),
    "date": _Keys("TDRC", "\xa9day", "WM/Year"),
    "genre": _Keys("TCON", "\xa9gen", "WM/Genre"),
    "tracknumber": _Keys("TRCK", "trkn", "WM/TrackNumber"),
    "discnumber": _Keys("TPOS", "disk", "WM/PartOfSet"),
    "bpm": _Keys("TBPM", "tmpo", "WM/BeatsPerMinute"),
    "initialkey": _Keys("TKEY", _ITUNES + "initialkey", "WM/InitialKey"),
    "isrc": _Keys("TSRC", _ITUNES + "ISRC", "WM/ISRC"),
    "copyright": _Keys("TCOP", "cprt", "Copyright"),
    "comment": _Keys("COMM", "\xa9cmt", "Description"),
}
FIELDS: Final = tuple(_KEYS)
"""The fields that are copied."""

_APE: Final = {  # the fields that APE calls otherwise than Vorbis comments do
    "albumartist": "album artist",
    "date": "year",
    "tracknumber": "track",
    "discnumber": "disc",
}
_PAIRS: Final = ("tracknumber", "discnumber")  # a number, or a number and how many there are
_COVER_FRONT: Final = 3
_MP4_NUMBERS: Final = 1 << 15  # what its fields of 16 bits hold
# A year, and what may follow; mutagen takes other separators too, and no time zone.
_ID3_DATE: Final = re.compile(
    r"(\d{4}([-/.]\d\d?){0,2}([ T]\d\d(:\d\d){0,2})?)(\.\d+)?(Z|[+-]\d\d:?\d\d)?"
)
_SIGNATURES: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_MP4_IMAGES: Final = {MP4Cover.FORMAT_JPEG: "image/jpeg", MP4Cover.FORMAT_PNG: "image/png"}


@dataclass(frozen=True)
class Tags:
    """A song's tags: values by name of `FIELDS`, and the cover with its MIME type."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    cover: tuple[str, bytes] | None = None


def read_tags(path: Path) -> Tags:
    """Read a song's tags; nothing where there are none, or none that can be read."""
    try:
        with path.open("rb") as file:
            tagged = mutagen.File(file)
        tags = None if tagged is None else _tags_of(tagged)
    except Exception:  # damaged tags make mutagen fail in any way; the audio may be whole
        tags = None
    return tags if tags and (tags.fields or tags.cover) else _libsndfile_tags(path)


def copy_tags(tags: Tags, files: Mapping[str, Path], *, track: str) -> None:
    """Write tags to a song's files, on the disk, with each stem's name in its title.

    Parameters
    ----------
    tags:
        Those of the song; where there are none, nothing is written.
    files:
        By stem. Of a file that holds several stems the title is the song's.
    track:
        The title of a song that has other tags.

    Raises
    ------
    OutputError
        The disk is full.
    """
    if not tags.fields and tags.cover is None:
        return
    paths = list(files.values())
    for stem, path in files.items():
        together = paths.count(path) > 1
        title = tags.fields.get("title", [track])[0]
        fields = {**tags.fields, "title": [title if together else f"{title} ({stem})"]}
        try:
            _write(path, Tags(fields, tags.cover))
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        except mutagen.MutagenError as error:
            if error.args and isinstance(error.args[0], OSError):
                raise output_error(path, error.args[0]) from error
            # RF64, which mutagen does not know: such a file has no tags
        except ValueError:  # a text that the format cannot hold: no reason to lose the stems
            pass
        except OSError as error:
            raise output_error(path, error) from error
        if together:
            break


def _tags_of(tagged: Any) -> Tags:
    tags = tagged.tags
    if isinstance(tags, ID3):
        return _from_id3(tags)
    if isinstance(tagged, MP4):
        return _from_mp4(tags or {})
    fields: dict[str, list[str]] = {}
    lowered = {str(key).lower(): value for key, value in (tags or {}).items()}
    for name, keys in _KEYS.items():
        known = (name, keys.asf.lower(), _APE.get(name, name))
        values = next((lowered[key] for key in known if lowered.get(key)), None)
        if values:
            several = isinstance(values, (list, APETextValue))
            values = list(values) if several else [values]
            fields[name] = list(dict.fromkeys(str(value) for value in values))
    for name in _PAIRS:
        total = lowered.get(name.removesuffix("number") + "total")
        if total and name in fields and "/" not in fields[name][0]:
            fields[name] = [f"{fields[name][0]}/{total[0]}"]
    covers = [*_vorbis_covers(tagged, lowered), *_ape_covers(lowered)]
    with suppress(IndexError, StopIteration, UnicodeDecodeError):  # a damaged picture
        covers += _asf_covers(lowered)
    return Tags(fields, _cover(covers))


def _from_id3(tags: ID3) -> Tags:
    fields = {}
    for name, keys in _KEYS.items():
        # Comments of that description are numbers that iTunes keeps for itself.
        frames = [f for f in tags.getall(keys.id3) if not getattr(f, "desc", "").startswith("iTun")]
        values = [str(text) for frame in frames for text in frame.text]
        if any(values):
            fields[name] = values
    covers = [
        (frame.mime, frame.data)
        for frame in sorted(tags.getall("APIC"), key=lambda frame: frame.type != _COVER_FRONT)
    ]
    return Tags(fields, _cover(covers))


def _from_mp4(tags: Any) -> Tags:
    fields = {}
    for name, keys in _KEYS.items():
        values = []
        for value in tags.get(keys.mp4, []):
            if name in _PAIRS:
                values.append("/".join(str(part) for part in value if part))
            else:
                values.append(value.decode() if isinstance(value, bytes) else str(value))
        if any(values):
            fields[name] = values
    covers = [
        (_MP4_IMAGES.get(cover.imageformat, ""), bytes(cover)) for cover in tags.get("covr", [])
    ]
    return Tags(fields, _cover(covers))


def _vorbis_covers(tagged: Any, lowered: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    pictures = list(getattr(tagged, "pictures", []))
    pictures += [
        Picture(base64.b64decode(block)) for block in lowered.get("metadata_block_picture", [])
    ]
    return [(picture.mime, picture.data) for picture in pictures]


def _asf_covers(lowered: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Give the pictures: a byte for the kind, four for the size, two UTF-16 texts, the data."""
    covers = []
    for picture in lowered.get("wm/picture", []):
        kind, block = picture.value[0], picture.value[5:]
        mime, rest = _utf16_text(block)
        _, data = _utf16_text(rest)
        covers.append((kind != _COVER_FRONT, mime, data))
    return [(mime, data) for _, mime, data in sorted(covers, key=lambda cover: cover[0])]


def _utf16_text(block: bytes) -> tuple[str, bytes]:
    """Split a text that ends with a zero from what follows."""
    end = next(at for at in range(0, len(block) - 1, 2) if block[at : at + 2] == b"\0\0")
    return block[:end].decode("utf-16-le"), block[end + 2 :]


def _ape_covers(lowered: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Give the front cover: a file's name that ends with a zero, then the data."""
    if "cover art (front)" not in lowered:
        return []
    data = lowered["cover art (front)"].value.partition(b"\0")[2]
    mime = next((mime for start, mime in _SIGNATURES.items() if data.startswith(start)), "")
    return [(mime, data)]


def _cover(covers: list[tuple[str, bytes]]) -> tuple[str, bytes] | None:
    known = (cover for cover in covers if cover[0] and cover[0].isascii())
    return next((cover for cover in known if 0 < len(cover[1]) <= MOST_COVER_BYTES), None)


def _libsndfile_tags(path: Path) -> Tags:
    """Read the tags of WAV's LIST INFO chunk and the like, which mutagen does not."""
    try:
        with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else str(path)) as file:
            found = file.copy_metadata()
    except (soundfile.SoundFileError, TypeError, ValueError):
        return Tags()
    return Tags({name: [found[name]] for name in FIELDS if found.get(name)})


def _write(path: Path, tags: Tags) -> None:
    kinds: dict[str, Any] = {
        ".wav": WAVE,
        ".aiff": AIFF,
        ".mp3": MP3,
        ".flac": FLAC,
        ".ogg": OggVorbis,
        ".mp4": MP4,
    }
    tagged = kinds[path.suffix](path)
    if isinstance(tagged, MP4):
        _to_mp4(tagged, tags)
    elif isinstance(tagged, (FLAC, OggVorbis)):
        _to_vorbis(tagged, tags)
    else:
        if tagged.tags is None:
            tagged.add_tags()
        _to_id3(tagged.tags, tags)
    tagged.save()


def _to_id3(target: Any, tags: Tags) -> None:
    for name, values in tags.fields.items():
        key = _KEYS[name].id3
        if key == "TDRC":  # which mutagen makes a date of, whatever it is
            values = [date[1] for value in values if (date := _ID3_DATE.fullmatch(value))]
            if not values:
                continue
        if key == "COMM":
            target.add(COMM(encoding=3, lang="XXX", desc="", text=values))
        else:
            target.add(Frames[key](encoding=3, text=values))
    if tags.cover is not None:
        mime, data = tags.cover
        target.add(APIC(encoding=3, mime=mime, type=_COVER_FRONT, desc="", data=data))


def _to_vorbis(target: Any, tags: Tags) -> None:
    if target.tags is None:
        target.add_tags()
    for name, values in tags.fields.items():
        number, _, total = values[0].partition("/")
        if name in _PAIRS and total:
            target[name] = [number]
            target[name.removesuffix("number") + "total"] = [total]
        else:
            target[name] = values
    if tags.cover is not None:
        picture = Picture()
        picture.mime, picture.data = tags.cover
        picture.type = _COVER_FRONT
        if isinstance(target, FLAC):
            target.add_picture(picture)
        else:
            target["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]


def _to_mp4(target: Any, tags: Tags) -> None:
    if target.tags is None:
        target.add_tags()
    for name, values in tags.fields.items():
        key = _KEYS[name].mp4
        if name in _PAIRS:
            numbers = [int(part) for part in values[0].split("/") if part.strip().isdecimal()]
            if numbers and max(numbers) < _MP4_NUMBERS:
                target[key] = [(*numbers, 0)[:2]]
        elif key == "tmpo":  # of whole beats, where others have 127.98
            with suppress(ValueError, OverflowError):
                if 0 <= (tempo := round(float(values[0]))) < _MP4_NUMBERS:
                    target[key] = [tempo]
        elif key.startswith(_ITUNES):
            target[key] = [MP4FreeForm(value.encode()) for value in values]
        else:
            target[key] = values
    images = {mime: kind for kind, mime in _MP4_IMAGES.items()}
    if tags.cover is not None and tags.cover[0] in images:
        target["covr"] = [MP4Cover(tags.cover[1], imageformat=images[tags.cover[0]])]
