"""What waits between two threads, or two stages of a song."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit.backlog import Backlog


@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_taken_is_what_came_whatever_the_lengths(axis: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        backlog, added, taken = Backlog(axis), [], []
        for _ in range(30):
            length = int(rng.integers(0, 9))
            shape = (length, 3) if axis == 0 else (3, length)
            added.append(rng.random(shape))
            backlog.add(added[-1])
            taken.append(backlog.take(int(rng.integers(0, backlog.count + 1))))
        taken.append(backlog.take(backlog.count))
        assert backlog.count == 0
        assert np.array_equal(np.concatenate(taken, axis), np.concatenate(added, axis))


def test_nothing_is_taken_in_the_shape_of_what_came() -> None:
    backlog = Backlog()
    backlog.add(np.zeros((2, 5, 4), np.complex64))
    backlog.take(5)
    assert backlog.take(0).shape == (2, 0, 4)
    assert backlog.take(0).dtype == np.complex64


def test_more_than_there_is_is_refused_and_nothing_lost() -> None:
    backlog = Backlog()
    backlog.add(np.arange(6).reshape(1, 6))
    with pytest.raises(ValueError, match="got 7, wanted at most 6"):
        backlog.take(7)
    assert backlog.take(6).tolist() == [[0, 1, 2, 3, 4, 5]]
