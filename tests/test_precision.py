"""The network's arithmetic: which one is chosen, and how little it changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import StemMaker
from stemsplit import answers, infer
from stemsplit.config import SOURCES
from stemsplit.errors import DeviceError, ModelError
from stemsplit.models import find_card, read_card
from stemsplit.separate import Separator

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
# A share of the mixture's norm. One rounding to 8 bits is 2**-9 = 0.002 at the most, and some
# twenty layers add theirs up like noise: 0.002 * sqrt(20) = 0.009 of a logit; masks move less.
ROUNDING = 0.01


@pytest.fixture
def song(make_stems: StemMaker) -> np.ndarray:
    return np.sum(list(make_stems(6.0).values()), axis=0)


@pytest.mark.parametrize(
    ("precision", "device", "model", "native", "wanted"),
    [
        ("auto", CPU, "base", True, torch.bfloat16),
        ("auto", CPU, "tiny", True, torch.bfloat16),
        ("auto", CPU, "paper", True, torch.float32),
        ("auto", CPU, "base", False, torch.float32),
        ("half", CPU, "base", False, torch.bfloat16),
        ("half", CPU, "paper", False, torch.bfloat16),
        ("float32", CPU, "base", True, torch.float32),
        ("auto", CUDA, "base", False, torch.float16),
        ("auto", CUDA, "paper", True, torch.float32),
        ("half", CUDA, "base", True, torch.float16),
        ("half", CUDA, "paper", False, torch.float16),
        ("float32", CUDA, "base", True, torch.float32),
    ],
)
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    device: torch.device,
    model: str,
    native: bool,
    wanted: torch.dtype,
) -> None:
    monkeypatch.setattr(infer, "_multiplies_bfloat16", lambda: native)
    card = read_card(find_card(model))
    assert infer.choose_precision(precision, device, card) == wanted


def test_the_device_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert infer.choose_device("auto") == CPU
    with pytest.raises(DeviceError, match="got no CUDA device"):
        infer.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert infer.choose_device("auto").type == "cuda"
    assert infer.choose_device("cpu") == CPU
    assert infer.choose_device("cuda") == infer.choose_device("cuda:0") == CUDA
    with pytest.raises(DeviceError, match="device cuda:1 is not there: got 1 CUDA devices"):
        infer.choose_device("cuda:1")


def test_threads_are_the_networks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    Separator("tiny", "cpu", threads=3)
    assert asked == [3]


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_what_the_processor_says(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert infer._multiplies_bfloat16() is native


def test_a_torch_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not infer._multiplies_bfloat16()


@pytest.mark.parametrize(
    ("device", "dtype", "tf32"),
    [(CUDA, torch.float32, False), (CUDA, torch.float16, True), (CPU, torch.float32, True)],
)
def test_float32_on_cuda_is_no_tf32(device: torch.device, dtype: torch.dtype, tf32: bool) -> None:
    cudnn = torch.backends.cudnn
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    assert cudnn.allow_tf32
    with answers._true_float32(device, dtype):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == before[:3]
        assert cudnn.allow_tf32 is tf32
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_the_network_runs_in_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of a CUDA device, whose name alone is claimed here, sees no TF32."""
    predictor = infer.Predictor(find_card("tiny"), CPU, "float32")
    seen: list[bool] = []

    class Device:
        type = "cuda"

    def network(*_: object) -> torch.Tensor:
        seen.append(torch.backends.cudnn.allow_tf32)
        raise RuntimeError("enough")

    monkeypatch.setattr(predictor.network, "module", network)
    piece = np.zeros(predictor.scheme.seen_shape(4), np.float32)
    with pytest.raises(ModelError):
        predictor.answers(piece)
    monkeypatch.setattr(
        answers, "_true_float32", lambda _, dtype, real=answers._true_float32: real(Device(), dtype)
    )
    with pytest.raises(ModelError):
        predictor.answers(piece)
    assert seen == [True, False]


@pytest.mark.parametrize("model", ["base", "tiny"])
def test_half_moves_the_stems_by_its_rounding(model: str, song: np.ndarray) -> None:
    """Also with other segments, on whose length the order of additions depends."""
    full = Separator(model, "cpu", precision="float32")
    half = Separator(model, "cpu", precision="half")
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    wanted = full.separate(song, 44_100).stems
    for segment in (60.0, 1.5, 2.3):
        stems = half.separate(song, 44_100, segment_seconds=segment).stems
        for source in SOURCES:
            error = np.linalg.norm(stems[source] - wanted[source])
            assert error < ROUNDING * np.linalg.norm(song)
        # The masks' shares are taken in float32, so what is lost here is found there.
        assert np.abs(sum(stems.values()) - song).max() < 1e-6
