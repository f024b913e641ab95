import pytest

from metarl.core.ranks import Ranks, use_ranks
from metarl.core.timing import Phases


def test_a_phase_adds_up_seconds_and_bytes(monkeypatch):
    ticks = iter([10.0, 11.5, 20.0, 20.25, 30.0, 37.0])
    monkeypatch.setattr("metarl.core.timing.time.perf_counter", lambda: next(ticks))
    ranks, phase = Ranks(), Phases()
    with use_ranks(ranks):
        for sent in (100, 11):
            with phase("collect"):
                ranks.bytes_sent += sent
        with pytest.raises(KeyError), phase("adapt"):
            raise KeyError("whatever")
    assert phase.seconds == {"collect": 1.75, "adapt": 7.0}
    assert phase.bytes_sent == {"collect": 111, "adapt": 0}
