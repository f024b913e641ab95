"""Prototypical networks predict each query example in the batch that the protocol names."""

import pytest
import torch

from benchmarks.fewshot.cli import evaluate
from benchmarks.fewshot.conv4 import Conv4
from benchmarks.fewshot.supervised import Examples, Prototypes, accuracy, cross_entropy
from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from tests.helpers.fewshot import IMAGES, TINY, fewshot, write_archives


@pytest.fixture
def archives(tmp_path, monkeypatch):
    monkeypatch.setenv("METARL_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "omniglot"
    place.mkdir()
    write_archives(place)
    return place


def prototypes(network, data, **options):
    return Prototypes(network, lambda tasks: data, cross_entropy, accuracy, **options)


def test_prototypes_of_a_query_by_itself_by_hand():
    """A network that divides a batch by its largest number stands for batch normalisation."""

    def network(params, inputs, batches):
        parts = inputs.unflatten(1, (batches, -1))
        return (parts / parts.amax(2, keepdim=True)).flatten(1, 2)

    data = Examples(
        torch.tensor([[[1.0], [2.0]]]), torch.tensor([[0, 1]]), torch.tensor([[[4.0], [10.0]]]), torch.tensor([[1, 1]])
    )
    together, alone = (
        prototypes(network, data, transductive=transductive).query_outputs({"x": torch.zeros(1)}, data)
        for transductive in (True, False)
    )
    torch.testing.assert_close(together, -torch.tensor([[[0.3, 0.2], [0.9, 0.8]]]).square())
    torch.testing.assert_close(alone, -torch.tensor([[[0.75, 0.5], [0.9, 0.8]]]).square())


def test_prototypes_of_a_query_do_not_depend_on_other_queries():
    images = torch.rand(2, 10, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    support, query = images.split([6, 4], 1)
    labels = torch.arange(3).repeat(2)
    data = Examples(support, labels.expand(2, -1), query, torch.tensor([0, 1, 2, 0]).expand(2, -1))
    changed = data._replace(query_inputs=query.clone())
    changed.query_inputs[:, 0] += 1
    network = Conv4(1, None, size=16, filters=4)
    params = stack(network.initialise(Key.from_seed(1)), 2)

    def outputs(transductive, part):
        return prototypes(network, data, transductive=transductive).query_outputs(params, part)

    torch.testing.assert_close(outputs(False, data)[:, 1:], outputs(False, changed)[:, 1:])
    assert (outputs(False, data)[:, 0] - outputs(False, changed)[:, 0]).abs().max() > 1e-3
    assert (outputs(True, data)[:, 1:] - outputs(True, changed)[:, 1:]).abs().max() > 1e-3
    for number in range(4):
        one = data._replace(query_inputs=query[:, number : number + 1])
        torch.testing.assert_close(outputs(False, data)[:, number], outputs(True, one)[:, 0])


def test_protonet_obeys_transductive(archives, tmp_path):
    line = f"train omniglot protonet {TINY} {IMAGES} --run-dir {{run}}"
    code, _, err = fewshot(line, data=archives, run=tmp_path / "run")
    assert (code, err) == (0, "")
    together, alone = (
        evaluate(tmp_path / "run", transductive=transductive, tasks=40, steps=0, split="meta-test")
        for transductive in (True, False)
    )
    assert together["protocol"]["query"] == "in one batch with the support examples (transductive)"
    assert alone["protocol"]["query"] == "each beside the support examples"
    assert together["per_task"] != alone["per_task"]
