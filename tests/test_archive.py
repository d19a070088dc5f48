"""Archives of weights: what is refused before torch sees it."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import stat
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small_model import save
from stemsplit.archive import check_archive
from stemsplit.errors import ModelError
from stemsplit.models import packaged_models
from stemsplit.trust import WEIGHTS_FOLDER

GOOD = {"net/constants.pkl": b"", "net/code/net.py": b"def forward(): ...", "net/data/0": b"1234"}


def packed(entries: dict[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of duplicate names
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def shared() -> bytes:
    """Give an archive of which several entries are the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**GOOD, "net/data/1": bytes(5000)}.items():
            archive.writestr(name, data)
        for number in range(2, 5):
            entry = copy.copy(archive.getinfo("net/data/1"))
            entry.filename = entry.orig_filename = f"net/data/{number}"
            archive.filelist.append(entry)
    return file.getvalue()


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("net/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_packaged_weights_pass() -> None:
    for name in packaged_models():
        check_archive((WEIGHTS_FOLDER / f"{name}.pt").read_bytes(), name)
    check_archive(packed({**GOOD}), "made up")


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "no archive"),
        (b"PK" * 1000, "no archive"),
        (pickle.dumps({"weights": [1.0]}), "no archive"),
        (packed({**GOOD})[:-30], "no archive"),
        (packed({}), "0 entries"),
        (packed({**GOOD, "net/../../evil": b""}), "an entry named"),
        (packed({**GOOD, "/etc/passwd": b""}), "an entry named"),
        (packed({**GOOD, "net\\..\\evil": b""}), "an entry named"),
        (packed({**GOOD, "C:/evil": b""}), "an entry named"),
        (packed({**GOOD, "evil": b""}), "an entry named"),
        (packed({**GOOD, "net/\x1b[2J": b""}), "an entry named"),
        (packed({**GOOD, link(): b"/etc/passwd"}), "a link"),
        (packed({**GOOD, zipfile.ZipInfo("net/data/0"): b"5678"}), "two entries of one name"),
        (packed({**GOOD, "other/data": b""}), "more than one top folder"),
        (packed({**GOOD}, zipfile.ZIP_BZIP2), "oddly packed"),
        (packed({f"net/{n}": b"" for n in range(20_001)}), "20001 entries"),
        (packed({**GOOD, "net/code/x": bytes(65 << 20)}, zipfile.ZIP_DEFLATED), "bytes of code"),
        (packed({"net/data.pkl": b"", "net/data/0": b""}), "without code"),
        (shared(), "entries that share their bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(data: bytes, got: str) -> None:
    with pytest.raises(ModelError, match=got) as caught:
        check_archive(data, "weights.pt")
    assert "\n" not in str(caught.value)


def test_a_pickle_of_torch_is_refused() -> None:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, file)
    with pytest.raises(ModelError, match="may be a pickle"):
        check_archive(file.getvalue(), "weights.pt")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("small")
    return save(folder).with_suffix(".pt").read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_anywhere_is_a_model_error_or_none(
    weights: bytes, place: float, byte: int, cut: bool
) -> None:
    at = int(place * len(weights))
    data = weights[:at] if cut else weights[:at] + bytes([byte]) + weights[at + 1 :]
    with contextlib.suppress(ModelError):
        check_archive(data, "weights.pt")
