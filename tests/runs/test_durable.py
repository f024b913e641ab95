import os

import pytest

from metarl.runs.durable import replace_file, write_file


def test_a_file_is_on_the_disk_before_writing_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size) or fsync(descriptor)
    )
    write_file(tmp_path / "a", b"12345")
    assert (tmp_path / "a").read_bytes() == b"12345"
    assert synced == [5]


def test_replacing_puts_the_new_text_in_place_in_one_step(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("old")
    replace_file(path, "new: é")
    assert path.read_text(encoding="utf-8") == "new: é"
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


def test_what_was_there_survives_a_disk_that_is_full(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    assert path.read_text() == "old"
