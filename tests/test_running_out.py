"""Memory that is not to be had, of device and host: half the segment, or one clear line."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SongWriter
from small_model import Greedy, save
from stemsplit import answers, dsp, infer, library
from stemsplit.cli.app import run
from stemsplit.errors import DeviceError, ModelError, OutOfMemoryError, StemsplitError
from stemsplit.models import find_card, quiet_torchscript, read_card
from stemsplit.separate import Separator

# As in test_separate: the rounding of float32 networks, by the frames they predict at a time.
ROUNDING = 1e-5
CPU = torch.device("cpu")


class Crowded:
    """A device with room for so many frames, context included; it fails in torch's ways."""

    def __init__(self, network: torch.nn.Module, room: int, error: Exception) -> None:
        self.network, self.room, self.error = network, room, error
        self.asked: list[int] = []

    def __call__(self, seen: torch.Tensor) -> torch.Tensor:
        self.asked.append(seen.shape[1])
        if seen.shape[1] > self.room:
            raise self.error
        answers: torch.Tensor = self.network(seen)
        return answers


class CrowdedCarrying(Crowded):
    """The same for a network that goes on where it was."""

    def rest(self, batch: int) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = self.network.rest(batch)  # type: ignore[operator]
        return kept

    def __call__(  # type: ignore[override]
        self, seen: torch.Tensor, carried: list[torch.Tensor], first: int, end: int
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.asked.append(seen.shape[1])
        if seen.shape[1] > self.room:
            raise self.error
        given: tuple[torch.Tensor, list[torch.Tensor]]
        given = self.network(seen, carried, first, end)
        return given


ERRORS = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    # How TorchScript, which packs what goes wrong inside it into one kind of error, says so.
    RuntimeError("The following operation failed.\nRuntimeError: CUDA out of memory. Tried"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], list[Crowded]]:
    """Let every predictor that is made from now on find too little memory."""

    def crowd(room: int, error: Exception) -> list[Crowded]:
        made: list[Crowded] = []
        begin = infer.Predictor.__init__

        def init(self: infer.Predictor, *arguments: object, **options: object) -> None:
            begin(self, *arguments, **options)  # type: ignore[arg-type]
            kind = CrowdedCarrying if self.network.carries else Crowded
            crowded = kind(self.network.module, room, error)
            monkeypatch.setattr(self.network, "module", crowded)
            made.append(crowded)

        monkeypatch.setattr(infer.Predictor, "__init__", init)
        return made

    return crowd


# For the paper's network each piece has a context of 24 frames, of which 12 are silence at first;
# tiny goes on where it was. 256 frames, and 100 with 424 silent ones to answer the last, are
# halved to what fits, tiny's to multiples of 4.
WAYS_OUT = [
    ("paper", (300, 513), 100 + 24, [268, 140, 76, 88], "0.74"),
    ("tiny", (100, 4, 384), 100, [524, 260, 128, 64], "1.49"),
]


@pytest.mark.parametrize(("name", "shape", "room", "asked", "seconds"), WAYS_OUT)
def test_the_way_out_of_a_full_device(
    crowd: Callable[[int, Exception], list[Crowded]],
    name: str,
    shape: tuple[int, ...],
    room: int,
    asked: list[int],
    seconds: str,
) -> None:
    seen = np.random.default_rng(0).uniform(0, 1, (1, *shape)).astype(np.float32)
    wanted = infer.Predictor(find_card(name), CPU, "float32").answers(seen)
    for error in ERRORS:
        lines: list[str] = []
        made = crowd(room, error)
        predictor = infer.Predictor(find_card(name), CPU, "float32", on_warning=lines.append)
        got = predictor.answers(seen)
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).max() < ROUNDING
        assert made[-1].asked[: len(asked)] == asked
        assert lines == [
            f"out of memory on cpu: the segment is halved to {seconds} s, which is slower and "
            "gives the same stems"
        ]
        predictor.answers(seen)
        assert len(lines) == 1  # it is known now
        assert max(made[-1].asked[len(asked) :]) <= room


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("CUDA error: unspecified launch failure", DeviceError, "the device failed: got CUDA"),
        ("shapes do not match", ModelError, "the network of model paper failed: got shapes do"),
    ],
)
def test_other_errors_of_a_network(
    crowd: Callable[[int, Exception], list[Crowded]],
    text: str,
    kind: type[StemsplitError],
    line: str,
) -> None:
    crowd(0, RuntimeError(f"The following operation failed.\n{text}"))
    with pytest.raises(kind, match=line):
        infer.Predictor(find_card("paper"), CPU).answers(np.zeros((1, 200, 513), np.float32))


def test_what_a_device_tells_later_is_its_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA tells of a failed kernel when something waits for it: here, the look at the answers."""

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(answers, "check_answers", fail)
    with pytest.raises(DeviceError, match="the device failed: got CUDA error"):
        infer.Predictor(find_card("paper"), CPU).answers(np.zeros((1, 200, 513), np.float32))


def test_without_a_listener_it_is_a_warning(
    crowd: Callable[[int, Exception], list[Crowded]],
) -> None:
    crowd(100 + 24, ERRORS[0])
    separator = Separator("paper", "cpu")
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * 44_100)).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="the segment is halved"):
        separator.separate(song, 44_100)


def test_a_device_without_any_room(crowd: Callable[[int, Exception], list[Crowded]]) -> None:
    crowd(10, ERRORS[1])
    with pytest.raises(OutOfMemoryError, match=r"no room for 0\.\d+ s of song; .*--device cpu"):
        infer.Predictor(find_card("paper"), CPU).answers(np.zeros((1, 200, 513), np.float32))


def test_the_command_says_so_once_and_goes_on(
    crowd: Callable[[int, Exception], list[Crowded]],
    write_song: SongWriter,
    random_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    crowd(100, ERRORS[0])
    song, log = write_song(seconds=3.0), tmp_path / "log"
    line = [str(song), "-o", str(tmp_path / "out"), "-m", str(random_model), "-d", "cpu"]
    assert run([*line, "--no-config", "--log", str(log)]) == 0
    warned, done = capfd.readouterr().err.splitlines()
    assert warned.startswith("warning: out of memory on cpu: the segment is halved to 0.74 s")
    assert done.startswith("song.wav: ")
    assert " warning out of memory on cpu" in log.read_text()


@pytest.fixture
def fails(
    write_song: SongWriter, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[[Path], str]]:
    """Run a separation that must fail for want of memory; give its only line."""

    def fails(model: Path) -> str:
        song = write_song(seconds=1.0)
        output = tmp_path / "out"
        line = [str(song), "-o", str(output), "-m", str(model), "-d", "cpu", "--no-config"]
        assert run(line) == 70
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert not output.exists()
        return err.removeprefix("stemsplit: error: ").rstrip("\n")

    return fails


def test_a_device_without_any_room_ends_the_command(
    crowd: Callable[[int, Exception], list[Crowded]],
    fails: Callable[[Path], str],
    random_model: Path,
) -> None:
    crowd(10, ERRORS[0])
    assert fails(random_model).startswith("out of memory on cpu: got no room for")


@pytest.mark.parametrize("stage", ["StftStream", "IstftStream"])
def test_the_core_or_numpy_without_memory(
    fails: Callable[[Path], str],
    random_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    def process(*_arguments: object) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(getattr(dsp, stage), "process", process)
    line = fails(random_model)
    assert line.startswith("out of memory at ")
    assert line.endswith("song.wav; try a smaller --segment, or --max-memory")


def test_torch_without_memory(
    fails: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that wants 256 TiB: what torch's own allocator raises, through TorchScript."""
    path = save(tmp_path / "model", Greedy())
    monkeypatch.setattr("stemsplit.infer.load_network", _unchecked)
    assert fails(path).startswith("out of memory at ")


def _unchecked(card_path: Path, *_arguments: object) -> tuple[object, torch.jit.ScriptModule]:
    with quiet_torchscript():
        return read_card(card_path), torch.jit.load(card_path.with_suffix(".pt")).eval()


def test_an_address_space_that_is_too_small(
    write_song: SongWriter, random_model: Path, tmp_path: Path
) -> None:
    """The real thing: the system refuses memory in the middle of a song."""
    song = write_song(seconds=40.0)
    script = (
        "import resource, sys; from pathlib import Path; import torch, soundfile, soxr\n"
        "from stemsplit.cli.app import run\n"
        "torch.set_num_threads(1)\n"
        "held = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + (400 << 20),) * 2)\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    line = [str(song), "-o", str(tmp_path / "out"), "-m", str(random_model), "-d", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", script, *line, "--segment", "40", "--threads", "1", "--no-config"],
        capture_output=True,
        text=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 70, done.stderr
    assert done.stderr.startswith("stemsplit: error: out of memory")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_greedy_model_is_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not fit its network: got RuntimeError"):
        library.accept(save(tmp_path, Greedy()))


def test_limits_of_this_process_are_untouched() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
