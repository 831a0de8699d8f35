"""A file is written whole or stays what it was, whatever goes wrong on the way."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from volumen.errors import OutOfSpaceError, OutputExistsError
from volumen.whole_files import draft_name, out_of_space, refuse_existing, whole_file, write_all, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_text_and_bytes_are_written_where_no_folder_was(tmp_path: Path) -> None:
    write_all(tmp_path / "a" / "b", {"text": "ïnk\n", "bytes": b"\0\xff"})
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "ïnk\n".encode()
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\0\xff"
    assert sorted(each.name for each in (tmp_path / "a" / "b").iterdir()) == ["bytes", "text"]


def test_an_error_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "former")

    def broken_off() -> None:
        with whole_file(path) as draft:
            draft.write_text("half")
            assert path.read_text() == "former"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / draft_name("file")).write_text("half of a kill, longer than what is written next")
    write_whole(path, "whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpaceError, match=r"disk is full while writing .*file; .* Free some space"):
        write_whole(tmp_path / "file", "text", synced=True)
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), out_of_space(tmp_path):
        raise PermissionError


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "free")
    refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(OutputExistsError, match="already there; give another path, or replace it with --overwrite"):
        refuse_existing(tmp_path)
