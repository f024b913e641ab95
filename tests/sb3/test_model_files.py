import io
import json
import pickle
import zipfile

import pytest
import torch

from metarl.core.errors import RunError
from metarl.sb3 import export_model, read_model

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_pickled_is_executed(run, tmp_path):
    export_model(run, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    described = json.loads(parts["data"])
    described["policy_class"][":serialized:"] = __import__("base64").b64encode(bomb).decode()

    def written(name, **changed):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for part, data in (parts | changed).items():
                archive.writestr(part, data)
        return tmp_path / name

    harmless = written("a.zip", data=json.dumps(described), **{"policy.optimizer.pth": bomb})
    assert "action_net.weight" in read_model(harmless).params
    unsafe = io.BytesIO()
    torch.save({"action_net.weight": Bomb(tmp_path / "exploded")}, unsafe)
    with pytest.raises(RunError, match="its parameters cannot be read"):
        read_model(written("b.zip", **{"policy.pth": unsafe.getvalue()}))
    assert not (tmp_path / "exploded").exists()


def test_a_model_that_would_fill_the_memory_is_refused_before_it_is_unpacked(run, tmp_path):
    export_model(run, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(8 << 20))

    def written(name, **changed):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, data in (parts | changed).items():
                archive.writestr(part, data)
        return tmp_path / name

    for changed in ({"policy.pth": bytes(8 << 20)}, {"policy.pth": inner.getvalue()}):
        with pytest.raises(RunError, match="would unpack to"):
            read_model(written("big.zip", **changed))
    with zipfile.ZipFile(tmp_path / "told.zip", "w") as archive:
        for part, data in (parts | {"data": b" " * (17 << 20)}).items():
            archive.writestr(part, data)
    with pytest.raises(RunError, match="more than 16 MiB"):
        read_model(tmp_path / "told.zip")
