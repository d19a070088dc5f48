"""The mean of separations at other speeds: definition, lengths, errors, the command."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import SongWriter, StemMaker
from stemsplit.cli.app import run
from stemsplit.config import MAX_SHIFTS, SOURCES, checked_shifts
from stemsplit.errors import AudioError, UsageError
from stemsplit.separate import Separator
from stemsplit.shifts import _SEMITONES, Hearing, Separate, hearings, mean_of_shifts

Audio = np.ndarray
# Segments begin elsewhere in a song with silence before it, and float32 rounds otherwise there:
# as in test_separate.
ROUNDING = 1e-5
SHIFTS = len(_SEMITONES) + 1
"""One more than there are speeds, so that the last is delayed."""


def test_the_first_hears_the_song_as_it_is_and_each_of_a_round_another_speed() -> None:
    assert hearings(1, 44_100, 1024) == [Hearing(0, 44_100)]
    speeds = len(_SEMITONES)
    heard = hearings(speeds, 48_000, 1114.6)
    assert heard[0] == Hearing(0, 48_000)
    assert all(one.delay == 0 for one in heard)
    semitones = [12 * np.log2(one.sample_rate / 48_000) for one in heard]
    np.testing.assert_allclose(semitones, _SEMITONES, atol=0.02)  # half a step of 100 Hz
    assert len(set(semitones)) == speeds


def test_rounds_of_speeds_divide_the_hop_evenly() -> None:
    speeds = len(_SEMITONES)
    heard = hearings(3 * speeds - 1, 44_100, 1114.6)
    assert [one.delay for one in heard] == [0] * speeds + [372] * speeds + [743] * (speeds - 1)
    assert len(set(heard)) == len(heard)
    assert [one.sample_rate for one in heard[speeds : 2 * speeds]] == [
        one.sample_rate for one in heard[:speeds]
    ]


@pytest.mark.parametrize("rate", [1, 1000, 7999, 8000, 11_025, 48_000, 768_000])
def test_other_speeds_are_near_what_they_should_be_at_any_rate(rate: int) -> None:
    heard = hearings(MAX_SHIFTS, rate, 0.1)
    assert min(one.sample_rate for one in heard) >= 1
    for one, semitones in zip(heard, _SEMITONES, strict=False):
        # Half a step, of 1 Hz or from 8 kHz on of 100.
        assert abs(one.sample_rate - rate * 2 ** (semitones / 12)) <= (50 if rate >= 8000 else 0.5)


def pieces(song: Audio, *lengths: int) -> Iterator[Audio]:
    """Give a song in blocks of these lengths, and the rest."""
    yield from np.split(song, np.cumsum(lengths), axis=1)


def delayed(*delays: int) -> list[Hearing]:
    return [Hearing(delay, 44_100) for delay in delays]


def song_and_places(sizes: Iterator[int]) -> Separate:
    """Give two stems, the song and where in it one is, in blocks of another size each time."""

    def separate(blocks: Iterator[Audio], _sample_rate: int) -> Generator[Audio, None, None]:
        size = next(sizes)
        song = np.concatenate(list(blocks), axis=1)
        places = np.broadcast_to(np.arange(song.shape[1], dtype=np.float32), song.shape)
        for start in range(0, song.shape[1], size):
            yield np.stack([song, places])[..., start : start + size]

    return separate


def test_it_is_the_mean_at_every_sample() -> None:
    song = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    blocks = list(
        mean_of_shifts(
            pieces(song, 7, 0, 20), 2, delayed(0, 4, 5), song_and_places(iter((3, 9, 5)))
        )
    )
    got = np.concatenate(blocks, axis=2)
    assert len(blocks) > 2  # they come as soon as all have them
    np.testing.assert_allclose(got[0], song, rtol=1e-6)  # a sum of three and a division in float32
    np.testing.assert_allclose(got[1], np.broadcast_to(np.arange(50) + 3.0, song.shape), rtol=1e-6)


def test_the_song_is_taken_once_by_threads_of_any_order() -> None:
    song = np.arange(400, dtype=np.float32).reshape(1, -1)
    taken: list[int] = []

    def blocks() -> Iterator[Audio]:
        for index, block in enumerate(pieces(song, *[1] * 399)):
            taken.append(index)
            yield block

    def from_thread(blocks: Iterator[Audio], _sample_rate: int) -> Generator[Audio, None, None]:
        read: list[Audio] = []
        thread = threading.Thread(target=lambda: read.extend(blocks))
        threads.append(thread)
        thread.start()
        yield np.zeros((1, 1, 0), np.float32)  # the others start meanwhile
        thread.join()
        yield np.concatenate(read, axis=1)[None]

    threads: list[threading.Thread] = []
    got = np.concatenate(
        list(mean_of_shifts(blocks(), 1, delayed(0, 1, 2, 3), from_thread)), axis=2
    )
    np.testing.assert_array_equal(got[0], song)
    assert taken == list(range(400))
    assert len(threads) == 4


def test_separations_keep_abreast_though_their_blocks_differ() -> None:
    """What is ahead waits in memory: no more of it than two of the longest blocks."""
    ahead: list[int] = []
    given = {40: 0, 90: 0}

    def separate(blocks: Iterator[Audio], size: int) -> Generator[Audio, None, None]:
        song = np.concatenate(list(blocks), axis=1)
        for start in range(0, song.shape[1], size):
            block = song[None, :, start : start + size]
            given[size] += block.shape[2]
            ahead.append(max(given.values()) - min(given.values()))
            yield block

    heard = [Hearing(0, size) for size in given]
    song = np.arange(9000, dtype=np.float32).reshape(1, -1)
    got = np.concatenate(list(mean_of_shifts(pieces(song, 100), 1, heard, separate)), axis=2)
    np.testing.assert_array_equal(got[0], song)
    assert max(ahead) <= 2 * 90


def test_a_song_that_breaks_off_is_no_shorter_song_to_any() -> None:
    def broken() -> Iterator[Audio]:
        yield np.ones((1, 10), np.float32)
        raise AudioError("cannot read on")

    heard: list[int] = []

    def separate(blocks: Iterator[Audio], _sample_rate: int) -> Generator[Audio, None, None]:
        yield np.zeros((1, 1, 0), np.float32)
        with pytest.raises(AudioError, match="cannot read on"):
            heard.extend(block.shape[1] for block in blocks)

    assert not list(mean_of_shifts(broken(), 1, delayed(0, 2), separate))
    assert heard == [10, 2, 10]


def test_where_one_separation_fails_all_have_ended_when_the_error_comes() -> None:
    """Their threads read the song, which is closed next."""
    ended: list[int] = []

    def separate(blocks: Iterator[Audio], _sample_rate: int) -> Generator[Audio, None, None]:
        number = len(list(blocks))
        try:
            yield np.zeros((1, 1, 1), np.float32)
            if number > 1:
                raise AudioError("the network fails")
            yield np.zeros((1, 1, 1), np.float32)
        finally:
            ended.append(number)

    song = pieces(np.ones((1, 4), np.float32))
    with pytest.raises(AudioError, match="the network fails"):
        list(mean_of_shifts(song, 1, delayed(0, 1, 2), separate))
    assert sorted(ended) == [1, 2, 2]


@pytest.fixture(scope="module")
def mixture(make_stems: StemMaker) -> Audio:
    return np.sum(list(make_stems(1.3).values()), axis=0)


@pytest.mark.parametrize("soft", [True, False])
def test_stems_are_the_mean_of_songs_at_other_speeds(mixture: Audio, *, soft: bool) -> None:
    plain = Separator("paper", "cpu")
    wanted = {source: np.zeros(mixture.shape) for source in SOURCES}
    for heard in hearings(SHIFTS, 44_100, plain.settings.hop_length):
        later = np.pad(mixture, ((0, 0), (heard.delay, 0)))
        for source, stem in plain.separate(later, heard.sample_rate, soft=soft).stems.items():
            wanted[source] += stem[:, heard.delay :] / SHIFTS
    got = Separator("paper", "cpu", shifts=SHIFTS).separate(
        mixture, 44_100, soft=soft, segment_seconds=0.8
    )
    for source in SOURCES:
        assert np.abs(got.stems[source] - wanted[source]).max() < ROUNDING


@pytest.mark.parametrize(("samples", "rate"), [(1, 44_100), (700, 44_100), (30_001, 48_000)])
def test_stems_are_as_long_as_the_song_and_add_up_to_it(samples: int, rate: int) -> None:
    song = np.random.default_rng(1).uniform(-0.5, 0.5, (2, samples)).astype(np.float32)
    result = Separator("tiny", "cpu", shifts=2).separate(song, rate)
    assert all(stem.shape == song.shape for stem in result.stems.values())
    # Masks that sum to 1 and transforms, all float32, as in test_separate.
    assert np.abs(result.residual).max() < ROUNDING


@pytest.mark.parametrize("shifts", [0, -1, MAX_SHIFTS + 1])
def test_numbers_that_make_no_sense_are_refused(shifts: int) -> None:
    with pytest.raises(UsageError, match=f"bad shifts: got {shifts}, wanted 1 to 32"):
        checked_shifts(shifts)
    with pytest.raises(UsageError, match="bad shifts"):
        Separator("tiny", "cpu", shifts=shifts)


def test_the_command_knows_what_was_made_with_them(
    write_song: SongWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(write_song(seconds=1.0)), "-o", str(tmp_path / "out"), "--model", "tiny"]

    def separate(*more: str) -> dict[str, object]:
        assert run([*arguments, "--json", "--skip-existing", *more]) == 0
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    first = separate("--shifts", "2")
    assert first["settings"]["shifts"] == 2  # type: ignore[index]
    for more, status in ((["--shifts", "2"], "skipped"), ([], "done"), (["--shifts", "2"], "done")):
        assert separate(*more)["songs"][0]["status"] == status  # type: ignore[index]
    assert run([*arguments, "--shifts", "0"]) == 2
    assert "bad --shifts: got 0, wanted 1 to 32" in capsys.readouterr().err


def test_a_card_tells_of_the_model_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(tmp_path), "--shifts", "2", "--update-card"]) == 2
    assert "--update-card is for a model as it is" in capsys.readouterr().err
