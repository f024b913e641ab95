import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from metarl.config.run import PolicyConfig, TrainConfig
from metarl.core.errors import RunError
from metarl.runs.policy_files import SavedPolicy, read_policy, write_policy

CONFIG = TrainConfig(variant="finn17", policy=PolicyConfig(hidden_sizes=(3,)))
SAVED = SavedPolicy(
    CONFIG,
    {"head.weight": torch.arange(6.0).reshape(2, 3).T, "log_std": torch.tensor([0.5], dtype=torch.float64)},
    {"observation_size": 2, "action": {"discrete": 3, "start": 0}},
    100,
    [1.5, -2.0],
)


def test_a_policy_survives_its_file(tmp_path):
    write_policy(tmp_path / "p.safetensors", SAVED)
    back = read_policy(tmp_path / "p.safetensors")
    assert (back.config, back.spaces, back.horizon, back.returns) == (CONFIG, SAVED.spaces, 100, [1.5, -2.0])
    assert back.params.keys() == SAVED.params.keys()
    for name, value in SAVED.params.items():
        assert back.params[name].dtype == value.dtype
        assert torch.equal(back.params[name], value)


@pytest.mark.parametrize("padding", range(0, 64, 8))
def test_tensors_are_aligned_whatever_the_length_of_the_header(tmp_path, padding):
    """Kernels may round differently where they are not, and the header's length depends on the options."""
    config = TrainConfig(variant="x" * padding)
    policy = SavedPolicy(config, {"w": torch.randn(3), "v": torch.randn(8)}, {}, 5, [])
    write_policy(tmp_path / "policy.safetensors", policy)
    assert all(value.data_ptr() % 64 == 0 for value in read_policy(tmp_path / "policy.safetensors").params.values())


def test_a_policy_is_read_for_the_cpu_whatever_it_was_trained_on(tmp_path):
    write_policy(tmp_path / "p.safetensors", replace(SAVED, config=replace(CONFIG, device="cuda")))
    assert read_policy(tmp_path / "p.safetensors").config.device == "cpu"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a policy that this version of metarl saved"),
        ({"metarl": json.dumps({"format": 9})}, "not a policy that this version of metarl saved"),
        (
            {"metarl": json.dumps({"format": 1, "config": {}, "spaces": {}, "horizon": "x", "returns": []})},
            "damaged: its",
        ),
        ({"metarl": "{"}, "not a policy that metarl saved"),
    ],
)
def test_files_whose_metadata_are_others_are_refused(tmp_path, metadata, message):
    save_file(SAVED.params | {"head.weight": torch.zeros(2)}, tmp_path / "p.safetensors", metadata)
    with pytest.raises(RunError, match=message):
        read_policy(tmp_path / "p.safetensors")


def test_places_without_a_policy_are_named(tmp_path):
    with pytest.raises(RunError, match="none: neither a run directory nor a saved policy"):
        read_policy(tmp_path / "none")
    with pytest.raises(RunError, match=r"p\.safetensors: cannot be written: "):
        write_policy(tmp_path / "none" / "p.safetensors", SAVED)
