"""Options of what is written: combinations that make sense, and names that stay in the folder."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from stemsplit.config import SOURCES
from stemsplit.errors import AudioError, UsageError
from stemsplit.outputs import Form, OutputOptions

PLACE = {"track": "CD1/song", "model": "tiny", "folder": "album"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, SOURCES),
        ({"stems": ("bass", "vocals")}, ("vocals", "bass")),
        ({"two_stems": "drums"}, ("drums", "no_drums")),
        ({"residual": True}, (*SOURCES, "residual")),
        ({"stems": ("bass",), "residual": True}, ("bass", "residual")),
        ({"format": "stem"}, ("mixture", "drums", "bass", "other", "vocals")),
    ],
)
def test_what_is_written(options, names):
    assert OutputOptions(**options).names(SOURCES) == names


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{track}/{stem}.{ext}", "CD1/song/bass.wav"),
        ("{stem}.{ext}", "bass.wav"),
        ("{folder}/{model}/{track} - {stem}.{ext}", "album/tiny/CD1/song - bass.wav"),
        ("{stem}s/{track}.WAV", "basss/CD1/song.WAV"),
    ],
)
def test_templates(template, path):
    options = OutputOptions(filename=template)
    assert options.paths(["bass"], **PLACE) == {"bass": PurePosixPath(path)}


def test_braces_in_a_songs_name_are_no_fields():
    options = OutputOptions(filename="{track}/{stem}.{ext}")
    paths = options.paths(["bass"], **{**PLACE, "track": "{stem} {0}"})
    assert paths["bass"] == PurePosixPath("{stem} {0}/bass.wav")


@pytest.mark.parametrize(
    "template",
    [
        "",
        "/{track}/{stem}.{ext}",
        "../{stem}.{ext}",
        "a/../{stem}.{ext}",
        "./{stem}.{ext}",
        "{stem}/.{ext}/",
        "a//{stem}.{ext}",
        "{stem}.{wat}.{ext}",
        "{stem}.{}.{ext}",
        "{stem.{ext}",
        "{stem}}.{ext}",
        "{stem!r}.{ext}",
        "{stem.__class__}.{ext}",
        "{track}.{ext}",
        "a\\{stem}.{ext}",
        "a\0{stem}.{ext}",
        "{track}/{stem}",
        "{track}/{stem}.flac",
        "{track}/{stem}{ext}",
    ],
)
def test_bad_templates(template):
    with pytest.raises(UsageError, match="bad --filename"):
        OutputOptions(filename=template)


@pytest.mark.parametrize("template", [".stemsplit/{stem}.{ext}", "{track}/.StemSplit/{stem}.{ext}"])
def test_no_stem_goes_where_the_store_keeps_its_own(template):
    with pytest.raises(UsageError, match="leads into stemsplit's own folder"):
        OutputOptions(filename=template).paths(["bass"], **PLACE)
    with pytest.raises(UsageError, match="leads into stemsplit's own folder"):
        OutputOptions(filename="{track}/{stem}.{ext}").paths(
            ["bass"], **{**PLACE, "track": ".stemsplit"}
        )


def test_a_model_cannot_name_its_way_out():
    options = OutputOptions(filename="{model}/{stem}.{ext}")
    with pytest.raises(UsageError, match="leads nowhere"):
        options.paths(["bass"], **{**PLACE, "model": ".."})
    assert options.paths(["bass"], **{**PLACE, "model": "a/../b"}) == {
        "bass": PurePosixPath("a_.._b/bass.wav")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "m4a"}, "bad --format: got m4a, wanted wav or flac"),
        ({"bit_depth": "20"}, "bad --bit-depth: got 20"),
        ({"clip": "no"}, "bad --clip: got no"),
        ({"format": "mp3", "bit_depth": "16"}, "--format mp3 has no bit depth"),
        ({"format": "flac", "bit_depth": "float32"}, "--format flac cannot hold floats"),
        ({"format": "ogg", "clip": "float"}, "--format ogg cannot hold floats"),
        ({"stems": ()}, "bad --stems"),
        ({"stems": ("bass", "bass")}, "bad --stems"),
        ({"two_stems": "bass", "residual": True}, "--two-stems goes with neither"),
        ({"two_stems": "bass", "stems": ("bass",)}, "--two-stems goes with neither"),
        ({"format": "stem", "stems": ("bass",)}, "--format stem always holds"),
        ({"format": "ogg", "bitrate": 192}, "--bitrate is for MP3: got --format ogg"),
        ({"format": "mp3", "bitrate": 100}, "bad --bitrate: got 100, wanted kbit/s, 256 or 320"),
    ],
)
def test_what_cannot_be_meant(options, message):
    with pytest.raises(UsageError, match=message):
        OutputOptions(**options)


@pytest.mark.parametrize(
    "options", [{"stems": ("piano",)}, {"two_stems": "piano"}, {"stems": ("",)}]
)
def test_stems_the_model_does_not_have(options):
    with pytest.raises(UsageError, match=r"no such stem: got .*wanted one the model has: vocals"):
        OutputOptions(**options).names(SOURCES)


def test_who_wants_the_instrumental_is_told_how():
    with pytest.raises(UsageError, match="is the second file of --two-stems vocals"):
        OutputOptions(two_stems="Instrumental").names(SOURCES)


@pytest.mark.parametrize(("rate", "fits"), [(65_535, True), (96_000, True), (96_001, False)])
def test_flac_knows_tens_of_hertz(rate, fits):
    """Above what 16 bits hold, as libFLAC has it; found out before the work."""
    source = Form("wav", "PCM_16", rate, 2)
    if fits:
        assert OutputOptions(format="flac").form(source).sample_rate == rate
        return
    with pytest.raises(AudioError, match="96001 Hz, wanted tens of Hz above 65535 Hz; choose"):
        OutputOptions(format="flac").form(source)


def test_a_stem_file_needs_the_four_stems():
    with pytest.raises(UsageError, match="needs a model of four stems"):
        OutputOptions(format="stem").names(("vocals", "other"))


@pytest.mark.parametrize(
    ("options", "source", "subtype"),
    [
        ({}, "PCM_16", "PCM_16"),
        ({}, "PCM_U8", "PCM_16"),
        ({}, "VORBIS", "FLOAT"),
        ({}, "DOUBLE", "DOUBLE"),
        ({"bit_depth": "24"}, "PCM_16", "PCM_24"),
        ({"bit_depth": "float32"}, "PCM_16", "FLOAT"),
        ({"format": "flac"}, "PCM_16", "PCM_16"),
        ({"format": "flac"}, "FLOAT", "PCM_24"),
        ({"format": "flac", "bit_depth": "16"}, "FLOAT", "PCM_16"),
        ({"format": "ogg"}, "PCM_16", "VORBIS"),
        ({"format": "mp3"}, "FLOAT", "MPEG_LAYER_III"),
        ({"format": "stem"}, "PCM_24", "AAC"),
    ],
)
def test_how_samples_are_stored(options, source, subtype):
    form = OutputOptions(**options).form(Form("wav", source, 44_100, 2))
    assert (form.subtype, form.sample_rate, form.channels) == (subtype, 44_100, 2)


@pytest.mark.parametrize(
    ("kind", "rate", "channels", "message"),
    [
        ("mp3", 96_000, 2, "mp3 cannot hold the sample rate of the song: got 96000 Hz"),
        ("mp3", 44_100, 6, "mp3 cannot hold the channels of the song: got 6, wanted at most 2"),
        ("stem", 192_000, 2, "stem cannot hold the sample rate of the song"),
        ("ogg", 384_000, 2, "ogg cannot hold the sample rate of the song.*at most 200000 Hz"),
        ("flac", 44_100, 9, "flac cannot hold the channels of the song: got 9"),
    ],
)
def test_songs_that_do_not_fit_the_format(kind, rate, channels, message):
    with pytest.raises(AudioError, match=f"{message}.*choose --format wav"):
        OutputOptions(format=kind).form(Form("wav", "PCM_16", rate, channels))
