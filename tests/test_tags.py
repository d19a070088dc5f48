"""Tags and covers, from every kind of file to every kind of file."""

from __future__ import annotations

import shutil
import struct

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.apev2 import BINARY, APEValue
from mutagen.asf import ASFByteArrayAttribute
from mutagen.flac import Picture
from mutagen.id3 import COMM

from stemsplit.outputs import EXTENSIONS
from stemsplit.tags import FIELDS, MOST_COVER_BYTES, Tags, copy_tags, read_tags

COVER = ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
TAGS = Tags(
    {
        "title": ["Potassium"],
        "artist": ["Ada", "Grace"],
        "album": ["Élan\u2014vital"],
        "albumartist": ["Various"],
        "composer": ["Clara"],
        "date": ["1999-12-31"],
        "genre": ["Dub"],
        "tracknumber": ["3/12"],
        "discnumber": ["1/2"],
        "bpm": ["128"],
        "initialkey": ["8A"],
        "isrc": ["USRC17607839"],
        "copyright": ["CC0"],
        "comment": ["line one"],
    },
    COVER,
)
KINDS = ("wav", "aiff", "flac", "ogg", "mp3", "stem")


def empty(path):
    """Write an untagged file."""
    if path.name.endswith((".mp4", ".m4a")):
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=44_100, layout="stereo")
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 4096), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = 44_100
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    else:
        soundfile.write(path, np.zeros((4410, 2)), 44_100)
    return path


def test_the_example_has_every_field():
    assert set(TAGS.fields) == set(FIELDS)


@pytest.mark.parametrize("kind", KINDS)
def test_tags_survive_every_format(tmp_path, kind):
    path = empty(tmp_path / f"vocals.{EXTENSIONS[kind]}")
    before = soundfile.read(path)[0] if kind != "stem" else None
    copy_tags(TAGS, {"vocals": path}, track="song")
    got = read_tags(path)
    assert got.cover == COVER
    assert got.fields == {**TAGS.fields, "title": ["Potassium (vocals)"]}
    if before is not None:
        np.testing.assert_array_equal(soundfile.read(path)[0], before)


@pytest.mark.parametrize("kind", KINDS)
def test_no_tags_change_nothing(tmp_path, kind):
    path = empty(tmp_path / f"vocals.{EXTENSIONS[kind]}")
    before = path.read_bytes()
    copy_tags(read_tags(path), {"vocals": path}, track="song")
    assert path.read_bytes() == before


def test_a_song_with_other_tags_gets_its_name_for_a_title(tmp_path):
    path = empty(tmp_path / "a.flac")
    copy_tags(Tags({"artist": ["Ada"]}), {"drums": path}, track="song")
    assert read_tags(path).fields == {"artist": ["Ada"], "title": ["song (drums)"]}


@pytest.mark.parametrize("kind", ["wav", "mp3", "aiff", "flac", "ogg"])
def test_a_text_that_a_format_cannot_hold_loses_no_stem(tmp_path, kind):
    path = empty(tmp_path / f"a.{kind}")
    before = soundfile.read(path)[0]
    copy_tags(Tags({"artist": ["\ud800"]}), {"drums": path}, track="song")
    np.testing.assert_array_equal(soundfile.read(path)[0], before)


def test_a_cover_of_no_known_kind_leaves_the_rest(tmp_path):
    song, path = empty(tmp_path / "song.flac"), empty(tmp_path / "a.wav")
    copy_tags(Tags({"artist": ["Ada"]}, ("image/\u2026", b"1")), {"x": song}, track="song")
    copy_tags(read_tags(song), {"drums": path}, track="song")
    assert read_tags(path) == Tags({"artist": ["Ada"], "title": ["song (x) (drums)"]})


def test_the_largest_cover_leaves_room_for_what_is_said_of_it(tmp_path):
    path = empty(tmp_path / "a.flac")
    cover = ("image/jpeg", bytes(MOST_COVER_BYTES))
    copy_tags(Tags({"artist": ["Ada"]}, cover), {"drums": path}, track="song")
    assert read_tags(path).cover == cover


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("2020-02", "2020-02"),
        ("1999-12-31T23:59:59", "1999-12-31 23:59:59"),
        ("2012-04-10T07:00:00Z", "2012-04-10 07:00:00"),  # as iTunes has it
        ("2020/5/1", "2020-05-01"),
        ("01.02.2020", None),
        ("soon", None),
    ],
)
@pytest.mark.parametrize("kind", ["wav", "mp3", "aiff"])
def test_dates_are_kept_or_left_out_but_not_changed(tmp_path, kind, date, kept):
    path = empty(tmp_path / f"a.{kind}")
    copy_tags(Tags({"artist": ["Ada"], "date": [date]}), {"drums": path}, track="song")
    assert read_tags(path).fields.get("date") == ([kept] if kept else None)


def test_a_file_of_several_stems_keeps_the_songs_title(tmp_path):
    path = empty(tmp_path / "a.stem.mp4")
    copy_tags(TAGS, dict.fromkeys(("mixture", "drums"), path), track="song")
    assert read_tags(path).fields["title"] == ["Potassium"]


def test_info_chunks_of_wav_are_read(tmp_path):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 44_100, 1, "PCM_16") as file:
        file.title, file.artist = "Take 5", "Dave"
        file.write(np.zeros(100))
    assert read_tags(path).fields == {"title": ["Take 5"], "artist": ["Dave"]}


@pytest.mark.parametrize(("bpm", "whole"), [("127.98", 128), ("1e9", None), ("fast", None)])
def test_numbers_that_mp4_has_not(tmp_path, bpm, whole):
    path = empty(tmp_path / "a.mp4")
    tags = Tags({"title": ["T"], "bpm": [bpm], "tracknumber": ["100000"]})
    copy_tags(tags, {"x": path}, track="song")
    copied = read_tags(path).fields
    assert copied["title"] == ["T (x)"]
    assert copied.get("bpm") == (whole and [str(whole)])
    assert "tracknumber" not in copied


def test_comments_are_those_that_people_write(tmp_path):
    path = empty(tmp_path / "a.mp3")
    tagged = mutagen.File(path)
    tagged.add_tags()
    for described, text in (("iTunNORM", " 0000052C"), ("", "for Ada"), ("iTunSMPB", " 0")):
        tagged.tags.add(COMM(encoding=3, lang="eng", desc=described, text=[text]))
    tagged.save()
    assert read_tags(path).fields == {"comment": ["for Ada"]}


def test_vorbis_totals_and_the_front_cover_first(tmp_path):
    path = empty(tmp_path / "a.flac")
    tagged = mutagen.File(path)
    tagged["tracknumber"], tagged["tracktotal"] = "7", "9"
    picture = Picture()
    picture.mime, picture.data, picture.type = "image/jpeg", b"jpeg", 3
    tagged.add_picture(picture)
    tagged.save()
    assert read_tags(path) == Tags({"tracknumber": ["7/9"]}, ("image/jpeg", b"jpeg"))


def encoded(path, codec, sample_format, **metadata):
    """Write a file of a kind that libsndfile does not write."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=44_100, layout="stereo")
        stream.bit_rate = 128_000
        kind = np.float32 if sample_format == "fltp" else np.int16
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 4096), kind), format=sample_format, layout="stereo"
        )
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_wma(tmp_path):
    path = encoded(tmp_path / "a.wma", "wmav2", "fltp", title="T", artist="A", album="L")
    assert read_tags(path).fields == {"title": ["T"], "artist": ["A"], "album": ["L"]}
    tagged = mutagen.File(path)
    texts = "".join(["image/png", "\0", "a picture", "\0"]).encode("utf-16-le")
    tagged["WM/Picture"] = [
        ASFByteArrayAttribute(bytes([kind]) + struct.pack("<I", len(data)) + texts + data)
        for kind, data in ((4, b"back"), (3, COVER[1]))
    ]
    tagged.save()
    assert read_tags(path).cover == COVER


def test_ape(tmp_path):
    path = encoded(tmp_path / "a.wv", "wavpack", "s16p")
    tagged = mutagen.File(path)
    tagged.tags.update({"Title": "T", "Artist": ["A", "B"], "Album Artist": "V", "Year": "1999"})
    tagged.tags.update({"Track": "3/12", "Disc": "1/2"})
    cover = b"Cover Art (Front).png\0" + COVER[1]
    tagged.tags["Cover Art (Front)"] = APEValue(cover, BINARY)
    tagged.save()
    fields = {"title": ["T"], "artist": ["A", "B"], "albumartist": ["V"], "date": ["1999"]}
    fields |= {"tracknumber": ["3/12"], "discnumber": ["1/2"]}
    assert read_tags(path) == Tags(fields, COVER)


def test_damaged_tags_are_none(tmp_path):
    path = empty(tmp_path / "a.mp3")
    copy_tags(TAGS, {"x": path}, track="song")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(0, 2000, 10):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        read_tags(path)  # whatever it finds


def test_rf64_has_no_tags_and_stays_whole(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((100, 2)), 44_100, format="RF64")
    before = path.read_bytes()
    assert before[:4] == b"RF64"
    copy_tags(TAGS, {"vocals": path}, track="song")
    assert path.read_bytes() == before


def test_tagged_files_are_the_same_every_time(tmp_path):
    for kind in KINDS:
        one, two = (tmp_path / f"{n}.{EXTENSIONS[kind]}" for n in (1, 2))
        empty(one)
        shutil.copy(one, two)
        for path in (one, two):
            copy_tags(TAGS, {"vocals": path}, track="song")
        assert one.read_bytes() == two.read_bytes()


def test_a_cover_beyond_the_limit_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("stemsplit.tags.MOST_COVER_BYTES", 100)
    path = empty(tmp_path / "a.mp3")
    copy_tags(TAGS, {"vocals": path}, track="song")
    assert read_tags(path).cover is None
    assert struct.unpack(">3s", path.read_bytes()[:3]) == (b"ID3",)
