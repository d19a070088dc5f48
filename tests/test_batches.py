"""The order of a training's batches, whoever makes them, and the end of those who do."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing

import pytest
import torch
from torch import Tensor

from stemsplit.batches import batches, makers_watched
from stemsplit.errors import InputError, StemsplitError

CPU, OTHER = torch.device("cpu"), torch.device("meta")
"""The latter stands for any device that is not the CPU."""


def made(step: int) -> tuple[Tensor, ...]:
    if step == 13:
        raise ValueError("thirteen")
    return torch.full((3,), step), torch.tensor([os.getpid(), threading.get_ident()])


@pytest.mark.parametrize("device", [CPU, OTHER])
@pytest.mark.parametrize("steps", [range(0), range(4, 5), range(2, 12)])
def test_batches_come_in_the_steps_order(device: torch.device, steps: range) -> None:
    with closing(batches(made, steps, device)) as ahead:
        assert [int(batch[0][0]) for batch in ahead] == list(steps)


def test_a_thread_serves_the_cpu_and_processes_another_device() -> None:
    with closing(batches(made, range(6), CPU)) as ahead:
        threads = [batch[1].tolist() for batch in ahead]
    assert {process for process, _ in threads} == {os.getpid()}
    assert threading.get_ident() not in {thread for _, thread in threads}
    with closing(batches(made, range(6), OTHER)) as ahead:
        assert os.getpid() not in {int(batch[1][0]) for batch in ahead}


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_nothing_is_left_running(device: torch.device) -> None:
    with closing(batches(made, range(12), device)) as ahead:
        first, thread_or_process = next(ahead)
    assert first.tolist() == [0, 0, 0]
    process, thread = thread_or_process.tolist()
    if device == CPU:
        assert thread not in {one.ident for one in threading.enumerate()}
    else:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("device", [CPU, OTHER])
@pytest.mark.parametrize(
    "error",
    [
        InputError("a bad song", got="noise", remedy="remove it"),
        FileNotFoundError(2, "No such file", "stem"),
    ],
)
def test_what_a_batch_fails_of_is_told_as_it_was(device: torch.device, error: Exception) -> None:
    def fail(_step: int) -> tuple[Tensor, ...]:
        raise error

    with closing(batches(fail, range(3), device)) as ahead, pytest.raises(type(error)) as caught:
        next(ahead)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_process_that_is_killed_is_told_of(*, elsewhere: bool) -> None:
    """Whether its batch is waited for, or a step is at work: torch tells of it in a signal."""

    def slowly(step: int) -> tuple[Tensor, ...]:
        time.sleep(1 if step else 0)  # where a kill leaves no queue locked
        return (torch.tensor(os.getpid()),)

    told = pytest.raises(StemsplitError, match=r"made batches has ended.*STEMSPLIT_NUM_THREADS")
    with told, makers_watched(), closing(batches(slowly, range(99), OTHER)) as ahead:
        (process,) = next(ahead)
        time.sleep(0.2)
        os.kill(int(process), signal.SIGKILL)
        if elsewhere:
            time.sleep(5)
        for _ in ahead:
            pass


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_a_batch_that_cannot_be_made_is_an_error(device: torch.device) -> None:
    with closing(batches(made, range(12, 15), device)) as ahead:
        assert int(next(ahead)[0][0]) == 12
        with pytest.raises(ValueError, match="thirteen"):
            next(ahead)


def test_processes_transform_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are as many as there are CPUs."""
    monkeypatch.delenv("STEMSPLIT_NUM_THREADS", raising=False)

    def threads(_step: int) -> tuple[Tensor, ...]:
        return (torch.tensor(int(os.environ["STEMSPLIT_NUM_THREADS"])),)

    with closing(batches(threads, range(3), OTHER)) as ahead:
        assert [int(number) for (number,) in ahead] == [1, 1, 1]
    assert "STEMSPLIT_NUM_THREADS" not in os.environ
