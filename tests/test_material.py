"""The store of decoded stems."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from conftest import StemMaker, write_folder
from stemsplit.dataset import find_tracks
from stemsplit.errors import OutputError
from stemsplit.material import StoredTrack, active_level_db, store_tracks


def test_a_stored_stem_is_the_stem(stored: list[StoredTrack], make_stems: StemMaker) -> None:
    stems = make_stems(1.0, seed=1)
    for source, stem in stored[1].stems.items():
        wanted = stems[source][:, 1000:3000]
        # Half a step of 16 bits of the stem's peak, which is below 0.25.
        np.testing.assert_allclose(stem.read(1000, 2000), wanted, atol=0.25 * 2**-16 * 1.01)


def test_a_folder_called_like_a_stem_file_is_none(tmp_path: Path, make_stems: StemMaker) -> None:
    write_folder(tmp_path / "song", make_stems(0.1))
    (tmp_path / "old.stem.mp4").mkdir()
    assert [track.name for track in find_tracks(tmp_path)] == ["song"]


def test_reading_past_the_end_gives_silence(stored: list[StoredTrack]) -> None:
    block = stored[0].stems["vocals"].read(44000, 300)
    assert block.shape == (2, 300)
    assert not block[:, 100:].any()


def test_a_track_is_stored_once(tmp_path: Path, stored: list[StoredTrack]) -> None:
    path = stored[0].stems["vocals"].path
    before = path.stat().st_mtime_ns
    again = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    assert again == stored
    assert path.stat().st_mtime_ns == before


def test_silent_and_absent_stems_are_not_stored(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(0.2)
    del stems["bass"]
    stems["other"] = np.zeros_like(stems["other"])
    write_folder(tmp_path / "data" / "song", stems)
    (track,) = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    assert set(track.stems) == {"vocals", "drums"}


def test_level_of_a_sine() -> None:
    sine = np.sin(np.arange(44100) / 10)[None].astype(np.float32)
    # Its power is half its amplitude's square, give or take the last cut period.
    assert active_level_db(sine, 44100) == pytest.approx(-3.01, abs=0.01)
    half = np.concatenate((sine, np.zeros_like(sine)), axis=1)
    assert active_level_db(half, 44100) == pytest.approx(-3.01, abs=0.01)
    assert active_level_db(np.zeros((1, 100), np.float32), 44100) is None


def test_what_is_stored_is_whole_or_absent(
    tmp_path: Path, make_stems: StemMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "data" / "song", make_stems(0.2))
    found, store = find_tracks(tmp_path / "data"), tmp_path / "store"
    save, saved = np.save, []

    def interrupted(path: Path, stem: np.ndarray) -> None:
        save(path, stem)
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store_tracks(found, store)
    assert list(store.iterdir()) == []
    killed = store / ".partial-killed"
    killed.mkdir()
    os.utime(killed, (0, 0))
    (track,) = store_tracks(found, store)
    assert list(store.iterdir()) == [track.stems["bass"].path.parent]


def test_another_run_may_store_the_same_song_meanwhile(
    tmp_path: Path, make_stems: StemMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "data" / "song", make_stems(0.2))
    found, store = find_tracks(tmp_path / "data"), tmp_path / "store"
    rename = Path.rename

    def second(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        store_tracks(found, store)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second)
    (track,) = store_tracks(found, store)
    assert list(store.iterdir()) == [track.stems["bass"].path.parent]
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(OutputError, match=r"cannot write .*file.*; choose another --store"):
        store_tracks(found, in_the_way)
