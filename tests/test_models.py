"""Model cards, verified weights and the models inside the package."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import torch

from stemsplit import models
from stemsplit import paper_network as network
from stemsplit.config import SOURCES
from stemsplit.errors import ModelError

CPU = torch.device("cpu")


def test_a_saved_model_comes_back(random_model: Path) -> None:
    card, loaded = models.load_network(random_model, CPU)
    assert card.sha256 == hashlib.sha256(random_model.with_suffix(".pt").read_bytes()).hexdigest()
    assert card.settings.bins == 1025
    torch.manual_seed(0)
    net = network.join_sources([network.PaperNetwork() for _ in SOURCES]).eval()
    magnitudes = torch.rand(1, 30, 513)
    with torch.inference_mode():
        assert torch.equal(loaded(magnitudes), net(magnitudes))


def test_matrices_may_be_stored_in_half_the_bytes(random_model: Path, tmp_path: Path) -> None:
    card, loaded = models.load_network(random_model, CPU)
    small_card = tmp_path / "small.json"
    small = models.save_model(loaded, card, small_card, half=True)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}  # left alone
    sizes = [path.with_suffix(".pt").stat().st_size for path in (random_model, small_card)]
    assert sizes[1] < 0.6 * sizes[0]
    _, back = models.load_network(small_card, CPU, small.sha256)
    for weight, wanted in zip(back.parameters(), loaded.parameters(), strict=True):
        assert weight.dtype == torch.float32
        # Rounded to 11 bits, and below float16's least normal number to a 2**-24.
        assert torch.allclose(weight, wanted, rtol=2**-11, atol=2**-25)


def test_models_do_not_say_where_they_were_made(random_model: Path) -> None:
    packaged = [models.find_card(name).with_suffix(".pt") for name in models.packaged_models()]
    for weights in (random_model.with_suffix(".pt"), *packaged):
        with zipfile.ZipFile(weights) as archive:
            for name in archive.namelist():
                content = archive.read(name)
                assert b"/stemsplit/unet.py" not in content, name
                assert str(Path(models.__file__).parent).encode() not in content, name


def test_a_model_may_be_named_by_its_card(random_model: Path) -> None:
    assert models.find_card(str(random_model)) == random_model


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"got nonsense, wanted .*paper"):
        models.find_card("nonsense")


def test_changed_weights_are_refused(random_model: Path, tmp_path: Path) -> None:
    data = bytearray(random_model.with_suffix(".pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "random.pt").write_bytes(data)
    (tmp_path / "random.json").write_bytes(random_model.read_bytes())
    with pytest.raises(ModelError, match="SHA-256"):
        models.load_network(tmp_path / "random.json", CPU)


def test_missing_weights_are_named(random_model: Path, tmp_path: Path) -> None:
    (tmp_path / "random.json").write_bytes(random_model.read_bytes())
    with pytest.raises(ModelError, match=r"random\.pt"):
        models.load_network(tmp_path / "random.json", CPU)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "sources": []}'])
def test_a_damaged_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="bad model card"):
        models.read_card(path)


def test_packaged_models_are_whole() -> None:
    names = models.packaged_models()
    assert models.DEFAULT_MODEL in names
    for name in names:
        card, loaded = models.load_network(models.find_card(name), CPU)
        assert card.name == name
        assert card.sources == SOURCES
        assert sum(weight.numel() for weight in loaded.parameters()) == card.parameters
        assert card.data
        assert card.validation


@pytest.mark.parametrize("frames", [1, 2, 3, 24, 25, 70])
def test_the_packaged_paper_model_is_the_papers_network(frames: int) -> None:
    """Of a song of so many frames, with the zeros that the window sees beyond its ends."""
    card, loaded = models.load_network(models.find_card("paper"), CPU)
    dense = network.DensePaperNetwork(len(SOURCES))
    dense.load_state_dict(loaded.state_dict())
    assert card.parameters == 4 * network.PARAMETERS_PER_SOURCE
    magnitudes = torch.zeros(24 + frames, network.BINS)
    magnitudes[12:-12] = torch.rand(
        frames, network.BINS, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        sliding = [network.slide(net.eval(), magnitudes) for net in network.split_sources(dense)]
        difference = loaded(magnitudes[None])[0] - torch.stack(sliding)
    assert difference.abs().max() < 1e-5  # the bar for dense against sliding


def test_a_card_is_readable_json(random_model: Path) -> None:
    facts = json.loads(random_model.read_text())
    assert set(facts) == {field.name for field in dataclasses.fields(models.ModelCard)}
