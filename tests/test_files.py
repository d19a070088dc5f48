"""Files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stemsplit.errors import OutputError
from stemsplit.files import replaced, user_folder


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file.txt"
    with replaced(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def half_write() -> None:
        with replaced(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    with replaced(tmp_path / ("x" * 255)) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 255]


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number: os.path.expanduser leaves the tilde."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert user_folder("config") == Path("/.config/stemsplit")


@pytest.mark.parametrize("name", ["in-a-file/file.txt", "x" * 300, "."])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "in-a-file").write_text("a file where a folder is wanted")
    with pytest.raises(OutputError, match="cannot write"), replaced(tmp_path / name) as temporary:
        temporary.write_text("whole")
