import os

import pytest
import torch

from metarl.core.errors import RunError
from metarl.runs import checkpoint as ck
from tests.helpers.checkpoints import FACTS, STATE


def test_round_trip_and_listing(tmp_path):
    folder = ck.save_checkpoint(tmp_path, 7, STATE, FACTS)
    assert folder == tmp_path / "checkpoints" / "00000007"
    state, manifest = ck.load_checkpoint(folder)
    assert {k: v.dtype for k, v in state["theta"].items()} == {"a": torch.float64, "b": torch.float32}
    assert all(torch.equal(state["theta"][k], v) for k, v in STATE["theta"].items())
    assert (manifest["iteration"], manifest["environment_steps"]) == (7, 5)
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "theta.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_tensor_files_depend_on_the_state_alone(tmp_path):
    one = ck.save_checkpoint(tmp_path / "a", 1, STATE, FACTS)
    two = ck.save_checkpoint(tmp_path / "b", 1, STATE, FACTS | {"wall_seconds": 2.0})
    assert (one / "theta.safetensors").read_bytes() == (two / "theta.safetensors").read_bytes()


def test_saving_the_same_iteration_again_replaces_it(tmp_path):
    ck.save_checkpoint(tmp_path, 1, STATE, FACTS | {"mark": 1})
    ck.save_checkpoint(tmp_path, 1, STATE, FACTS | {"mark": 2})
    assert ck.read_manifest(tmp_path / "checkpoints" / "00000001")["mark"] == 2


@pytest.mark.parametrize("name", ["theta.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty"])
def test_damage_is_detected_and_the_previous_checkpoint_used(tmp_path, name, damage):
    ck.save_checkpoint(tmp_path, 1, STATE, FACTS | {"mark": 1})
    newest = ck.save_checkpoint(tmp_path, 2, STATE, FACTS | {"mark": 2})
    path = newest / name
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(data[:-20])
    elif damage == "flip":
        # In the manifest the last hexadecimal digit of a hash, so that it stays valid JSON.
        place = data.rindex(b'"bytes"') - 10 if name == "manifest.json" else len(data) - 3
        data[place] ^= 1
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    with pytest.raises(RunError, match="00000002"):
        ck.load_checkpoint(newest)
    with pytest.warns(UserWarning, match="using 00000001 instead"):
        loaded = ck.load_newest(tmp_path)
    assert loaded is not None
    assert loaded[1]["mark"] == 1


def test_nothing_whole_is_an_error_and_nothing_at_all_is_none(tmp_path):
    assert ck.load_newest(tmp_path) is None
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(RunError, match="no checkpoint is whole"):
        ck.load_newest(tmp_path)


def test_pipes_and_links_are_not_read(tmp_path):
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    (folder / "manifest.json").rename(tmp_path / "elsewhere.json")
    (folder / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RunError, match="not a manifest"):
        ck.load_checkpoint(folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(RunError, match="not a manifest"):
        ck.load_checkpoint(folder)


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    ck.save_checkpoint(tmp_path, 1, STATE, FACTS)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ck, "write_file", full)
    with pytest.raises(RunError, match="not saved: No space left"):
        ck.save_checkpoint(tmp_path, 2, STATE, FACTS)
    monkeypatch.undo()
    assert list(ck.list_checkpoints(tmp_path)) == [1]
    assert ck.load_newest(tmp_path) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_retention_keeps_the_newest_the_best_and_what_was_passed_over(tmp_path):
    for iteration, score in ((1, -5.0), (2, -1.0), (3, -2.0), (4, None), (5, -3.0), (9, 7.0)):
        ck.save_checkpoint(tmp_path, iteration, STATE, FACTS | {"meta_validation": score and {"score": score}})
    ck.prune(tmp_path, 2, newest=5)
    assert list(ck.list_checkpoints(tmp_path)) == [2, 4, 5, 9]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_what_a_dead_process_left_is_cleared_and_what_it_put_aside_is_put_back(tmp_path):
    for iteration in (1, 2):
        ck.save_checkpoint(tmp_path, iteration, STATE, FACTS)
    (tmp_path / "checkpoints" / "00000002").rename(tmp_path / ".replaced-00000002")
    (tmp_path / ".staging-00000003").mkdir()
    ck.tidy(tmp_path)
    assert list(ck.list_checkpoints(tmp_path)) == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]
