"""Softening a model: its masks to a power, the same hard masks, and a card that says so."""

from __future__ import annotations

from pathlib import Path

import torch

from stemsplit.cards import read_card
from stemsplit.models import load_network
from stemsplit.unet_size import FEATURES, UNetSize
from test_growth import run_script, saved


def test_softened_masks_are_those_before_to_a_power(tmp_path: Path) -> None:
    size = UNetSize(widths=(8, 8, 8), squeeze=(4, 4, 4))
    before = saved(size, tmp_path / "before.json")
    after = tmp_path / "after.json"
    run_script("soften_model.py", before, "--by", "0.8", "-o", after)
    x = torch.rand(1, 2 * size.context_frames + 8, FEATURES, size.bands)
    with torch.inference_mode():
        masks, soft = (
            load_network(path, torch.device("cpu"), read_card(path).sha256)[1](x)
            for path in (before, after)
        )
    wanted = masks**0.8
    # float32 sums of a few hundred products before the softmax, in another order
    torch.testing.assert_close(soft, wanted / wanted.sum(1, keepdim=True), atol=1e-5, rtol=1e-5)
    assert torch.equal(soft.argmax(1), masks.argmax(1))
    card = read_card(after)
    assert card.training["softened"] == {"from": read_card(before).sha256, "by": 0.8}
    assert not card.validation
