"""Which songs arguments mean, and what they are called."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from conftest import binding_permissions
from stemsplit.inputs import find_songs, name_songs, song_name, spool
from stemsplit.manifest import Fingerprint, Manifest, fingerprint
from stemsplit.store import OutputStore


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Make files by name in the test's folder, and go there."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(name)

    return make


def found(*arguments, output="out"):
    songs = find_songs([Path(argument) for argument in arguments], Path(output))
    assert not any(song.problem for song in songs)
    return [str(song.path) for song in songs]


def done(track, path, root="out", *, owned=()):
    """Leave the manifest of a song that is done."""
    manifest = Manifest(track, fingerprint(Path(path)), {}, {}, {}, tuple(owned))
    with OutputStore(Path(root)).begin(track) as work:
        work.commit({}, manifest)


def test_folders_are_searched_whole_and_in_order(tree):
    tree("a/2.wav", "a/10.FLAC", "a/B/1.m4a", "a/cover.jpg", "a/B/notes.txt", "x.mp3")
    assert found("x.mp3", "a") == ["x.mp3", "a/10.FLAC", "a/2.wav", "a/B/1.m4a"]


def test_each_song_once(tree):
    tree("a/1.wav")
    assert found("a/1.wav", "a", "./a/../a/1.wav", "a/*.wav") == ["a/1.wav"]


def test_patterns_that_no_shell_expanded(tree):
    tree("a/1.wav", "a/b/2.wav", "a/b/c/3.wav", "a/b/c/4.mp3")
    assert found("a/*.wav") == ["a/1.wav"]
    assert found("a/**/*.wav") == ["a/1.wav", "a/b/2.wav", "a/b/c/3.wav"]
    assert found("a/*") == ["a/1.wav", "a/b/2.wav", "a/b/c/3.wav", "a/b/c/4.mp3"]


def test_brackets_in_a_file_name_are_no_pattern(tree):
    tree("song [live].wav")
    assert found("song [live].wav") == ["song [live].wav"]


def test_a_link_that_goes_round_ends(tree):
    tree("a/1.wav", "a/b/2.wav")
    Path("a/b/up").symlink_to(Path("a").absolute())
    Path("a/self").symlink_to("self")
    assert found("a") == ["a/1.wav", "a/b/2.wav"]


def test_a_folder_that_cannot_be_read_is_told(tree):
    """Songs that are left out without a word would be lost."""
    tree("a/1.wav", "a/locked/2.wav", "a/state/.stemsplit/x", "a/state/3.wav")
    for place in ("a/locked", "a/state"):
        Path(place).chmod(0o200)
    with binding_permissions():
        songs = find_songs([Path("a")], Path("out"))
    for place in ("a/locked", "a/state"):
        Path(place).chmod(0o755)
    assert [str(song.path) for song in songs] == ["a/1.wav", "a/locked", "a/state"]
    assert "cannot read a/locked: got Permission denied" in str(songs[1].problem)


def test_a_song_that_cannot_be_looked_at_stops_no_other(tree):
    tree("a/1.wav", "b/2.wav")
    Path("a").chmod(0o600)  # its names can be read, and no more
    with binding_permissions():
        songs = find_songs([Path("a"), Path("b")], Path("out"))
    Path("a").chmod(0o755)
    assert [str(song.path) for song in songs] == ["a/1.wav", "b/2.wav"]


def test_hidden_files_and_pipes_are_left_out(tree):
    tree("a/1.wav", "a/._1.wav", "a/.cache/2.wav")
    os.mkfifo("a/pipe.wav")
    assert found("a") == ["a/1.wav"]


def test_a_link_to_nowhere_is_left_to_the_reader(tree):
    """A song on a drive that is not there would be lost without a word."""
    tree("a/1.wav")
    Path("a/2.wav").symlink_to("gone.wav")
    assert found("a") == ["a/1.wav", "a/2.wav"]


def test_own_output_is_left_out(tree):
    tree("a/1.wav", "a/out/1/vocals.wav", "a/1/drums.wav", "a/1/mine.wav")
    assert "a/out/1/vocals.wav" not in found("a", output="a/out")
    done("1", "a/1.wav", "a", owned=["1/drums.wav"])
    assert found("a", output="a") == ["a/1.wav", "a/1/mine.wav", "a/out/1/vocals.wav"]


def test_what_an_output_folder_above_filed_here_is_left_out(tree):
    tree("music/a/1.wav", "music/a/1_vocals.wav", "music/a/1/drums.wav")
    done("1", "music/a/1.wav", "music", owned=["a/1_vocals.wav", "a/1/drums.wav"])
    assert found("music/a", output="music") == ["music/a/1.wav"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [("empty", "no songs in empty"), ("*.wav", "nothing matches")],
)
def test_what_means_no_song_is_a_problem_of_its_own(tree, argument, message):
    tree("empty/readme.txt")
    (song,) = find_songs([Path(argument)], Path("out"))
    assert message in str(song.problem)


def test_a_missing_file_is_left_to_the_reader(tree):
    tree()
    (song,) = find_songs([Path("gone.wav")], Path("out"))
    assert (str(song.path), song.problem) == ("gone.wav", None)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a/song.wav", "song"),
        ("song.STEM.mp4", "song"),
        ("song.tar.wav", "song.tar"),
        ("song", "song"),
        (".wav", ".wav"),
        ("...wav", "wav"),
        ("..", "song"),
    ],
)
def test_song_names(name, wanted):
    assert song_name(Path(name)) == wanted


def names(*arguments):
    songs = find_songs([Path(argument) for argument in arguments], Path("out"))
    return [song.track for song in name_songs(songs, OutputStore(Path("out")))]


def test_songs_of_one_name_get_names_of_their_own(tree):
    tree("a/song.wav", "b/Song.flac", "b/song.mp3", "c/b/song.mp3")
    got = names("a/song.wav", "b/Song.flac", "b/song.mp3", "c/b/song.mp3")
    assert got[:3] == ["song", "Song (b)", "song.mp3 (b)"]
    assert got[3].startswith("song (")
    assert len({name.casefold() for name in got}) == 4
    assert got == names("a/song.wav", "b/Song.flac", "b/song.mp3", "c/b/song.mp3")


def test_songs_of_one_folder_differ_by_their_endings(tree):
    """As where a DAW exports in two formats at once; another folder's song gets its name."""
    tree("a/song.wav", "a/song.flac", "a/song.MP3", "b/song.wav")
    arguments = ["a/song.wav", "a/song.flac", "a/song.MP3", "b/song.wav"]
    wanted = ["song", "song (flac)", "song (mp3)", "song (b)"]
    assert names(*arguments) == wanted
    for track, path in zip(wanted, arguments, strict=True):
        done(track, path)
    assert names(*reversed(arguments)) == wanted[::-1]
    assert names("a/song.flac") == ["song (flac)"]


def test_songs_of_two_folders_differ_by_these(tree):
    """Though one of them holds other formats of its own."""
    tree("a/song.wav", "b/song.wav", "b/song.flac")
    assert names("a/song.wav", "b/song.wav", "b/song.flac") == ["song", "song (b)", "song.flac (b)"]
    done("song", "a/song.wav")
    assert names("b/song.flac") == ["song (b)"]


def test_a_folders_tree_is_kept(tree):
    tree("album/CD1/song.wav", "album/CD2/song.wav", "other/CD1/song.wav")
    assert names("album") == ["CD1/song", "CD2/song"]
    assert names("album", "other") == ["CD1/song", "CD2/song", "CD1/song (CD1)"]


def test_composed_and_decomposed_letters_are_one_name(tree):
    tree("a/caf\u00e9.wav", "b/cafe\u0301.wav")
    assert names("a/caf\u00e9.wav", "b/cafe\u0301.wav")[1].endswith(" (b)")


def test_a_song_done_before_keeps_its_name_and_its_files(tree):
    tree("a/song.wav", "b/song.wav")
    done("song", "b/song.wav")
    assert names("b/song.wav") == ["song"]
    assert names("a/song.wav") == ["song (a)"]
    assert names("a/song.wav", "b/song.wav") == ["song (a)", "song"]


def test_a_song_that_was_moved_is_known_by_its_content(tree):
    tree("a/song.wav")
    done("song", "a/song.wav")
    Path("b").mkdir()
    Path("a/song.wav").rename("b/song.wav")
    assert names("b/song.wav") == ["song"]


def test_a_copy_of_a_song_is_another_song(tree):
    """Each may be changed later, and must not find the other's stems under its name."""
    tree("a/song.wav", "b/song.wav")
    Path("b/song.wav").write_bytes(Path("a/song.wav").read_bytes())
    done("song", "a/song.wav")
    done("song (b)", "b/song.wav")
    assert names("b/song.wav") == ["song (b)"]
    assert names("a/song.wav", "b/song.wav") == ["song", "song (b)"]


def test_stdin_is_named_by_its_content(tree, tmp_path):
    tree()
    store = OutputStore(Path("out"))
    for index, content in enumerate((b"one", b"two", b"one")):
        folder = tmp_path / str(index)
        folder.mkdir()
        song = spool(io.BytesIO(content), folder)
        (named,) = name_songs([song], store)
        assert named.shown == "-"
        assert named.track.startswith("stdin (" if content == b"two" else "stdin")
        assert (named.track == "stdin") == (content == b"one")
        done(named.track, song.path)


def test_a_fingerprint_is_read_again_only_when_it_must_be(tmp_path, monkeypatch):
    path = tmp_path / "song.wav"
    path.write_text("content")
    first = fingerprint(path)
    assert first == Fingerprint(str(path), 7, path.stat().st_mtime_ns, first.sha256)
    os.utime(path, ns=(1, 1))
    assert first.unchanged(path)
    path.write_text("CONTENT")
    assert not first.unchanged(path)
    assert not first.unchanged(tmp_path / "gone")
    again = fingerprint(path)
    monkeypatch.setattr("stemsplit.manifest.fingerprint", None)
    assert again.unchanged(path)
