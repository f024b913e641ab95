"""The study on disk: positions instead of histories, locks, and what a killed process leaves."""

import json

import pytest
from optuna.trial import TrialState

from metarl.core.errors import RunError
from metarl.tuning.space import parse_space
from metarl.tuning.study import JOURNAL, MOST_STARTS, Study, write_facts


@pytest.fixture
def place(tmp_path):
    write_facts(tmp_path / "study", {"algorithm": "maml"})
    return tmp_path / "study"


def finish(study, claim, score):
    study.optuna.tell(claim.trial, score)
    claim.lock.release()


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_is_opened_again_draws_what_it_would_have_drawn(about, tmp_path, sampler):
    found = []
    for name in ("through", "again"):
        write_facts(tmp_path / name, {})
        study = Study(tmp_path / name, about.space, 3, sampler)
        for number in range(13):
            if name == "again" and number in (1, 4, 11):
                study = Study(tmp_path / name, about.space, 3, sampler)
            claim = study.claim(20)
            finish(study, claim, -abs(claim.values["adam.lr"] - 0.01))
        found.append([study.values_of(trial) for trial in study.trials])
    assert found[0] == found[1]
    assert len({values["adam.lr"] for values in found[0]}) == 13


def test_the_seed_decides(about, tmp_path):
    drawn = []
    for seed in (1, 2):
        write_facts(tmp_path / str(seed), {})
        drawn.append(Study(tmp_path / str(seed), about.space, seed).claim(1).values)
    assert drawn[0] != drawn[1]


def test_nobody_takes_a_trial_that_another_works_on(about, place):
    one, other = Study(place, about.space), Study(place, about.space)
    first, second = one.claim(2), other.claim(2)
    assert (first.trial.number, second.trial.number) == (0, 1)
    assert first.values != second.values
    assert other.claim(2) is None
    first.trial.report(1.0, 2)
    first.lock.release()  # as the kernel does when the process dies
    taken = other.claim(2)
    assert (taken.trial.number, taken.values, taken.reported) == (0, first.values, {2: 1.0})


def test_a_trial_that_kills_its_process_fails_in_the_end(about, place):
    for _ in range(MOST_STARTS):
        claim = Study(place, about.space).claim(1)
        assert claim.trial.number == 0
        claim.lock.release()
    study = Study(place, about.space)
    assert study.claim(1) is None
    (trial,) = study.trials
    assert (trial.state, trial.user_attrs["error"]) == (TrialState.FAIL, "its process died 3 times")


def test_trials_that_are_put_back_do_not_count_as_deaths(about, place):
    for _ in range(MOST_STARTS + 1):
        claim = Study(place, about.space).claim(1)
        assert claim.trial.number == 0
        claim.put_back()
        claim.lock.release()


def test_a_line_that_a_dying_process_did_not_finish_is_dropped(about, place):
    study = Study(place, about.space)
    finish(study, study.claim(5), 1.0)
    with open(place / JOURNAL, "a") as file:
        file.write('{"op_code": 5, "tri')
    study = Study(place, about.space)
    finish(study, study.claim(5), 2.0)
    assert [trial.value for trial in Study(place, about.space).trials] == [1.0, 2.0]
    assert all(json.loads(line) for line in (place / JOURNAL).read_text().splitlines())


def test_a_grid_and_the_first_trial(base, place):
    space = parse_space(["inner.lr=0.1,0.2", "policy.hidden_sizes=8,8x8"], base)
    study = Study(place, space, sampler="grid")
    study.enqueue_grid()
    study.enqueue_grid()
    assert study.trials == []
    found = []
    for _ in range(4):
        claim = study.claim(4)
        finish(study, claim, 0.0)
        found.append((claim.values["inner.lr"], claim.values["policy.hidden_sizes"]))
    assert found == [(0.1, (8,)), (0.1, (8, 8)), (0.2, (8,)), (0.2, (8, 8))]
    assert study.claim(4) is None


def test_another_study_and_other_files_are_refused(tmp_path):
    facts = {"algorithm": "maml", "seeds": [1, 2]}
    assert write_facts(tmp_path / "study", facts)
    assert not write_facts(tmp_path / "study", facts)
    with pytest.raises(
        RunError, match=r"study: not resumed: its seeds is \[1, 2\] there and \[1\] here; choose another"
    ):
        write_facts(tmp_path / "study", {"algorithm": "maml", "seeds": [1]})
    with pytest.raises(RunError, match="exists and is not an empty directory"):
        write_facts(tmp_path, facts)
    (tmp_path / "study" / "study.json").write_text("{")
    with pytest.raises(RunError, match=r"study\.json: damaged"):
        write_facts(tmp_path / "study", facts)
