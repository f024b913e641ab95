import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.checks.check import CHECKS, check_family
from metarl.families.declared import declare_family
from metarl.families.ids.installed import registered
from metarl.families.observe_task import ObserveTask
from tests.helpers.cli import metarl
from tests.helpers.families import load_or_skip
from tests.helpers.slides import Slide, Slides, failures, over


@pytest.mark.parametrize("observe_task", [False, True])
def test_a_whole_family_passes(observe_task):
    family = ObserveTask(Slides()) if observe_task else Slides()
    found = {finding.check: finding.verdict for finding in check_family(family)}
    found.pop("stable-baselines3")
    assert found == {check: "pass" for check in CHECKS if check != "stable-baselines3"}


@pytest.mark.parametrize("name", sorted(registered()))
def test_what_ships_passes(name):
    assert failures(load_or_skip(name)) == {}


def test_a_declared_family_passes():
    space = spaces.Dict({"g": spaces.Box(5.0, 15.0, ())})
    assert failures(declare_family("Pendulum-v1", space, horizon=40)) == {}


SLIDES = Slides()


class Unlimited(Slides):
    def make(self, task, *, render_mode=None):
        return self.env(task)


BROKEN = Unlimited()


def test_the_command_reports_and_its_exit_code_says_so():
    code, out, err = metarl("check tests.families.checks.test_check:SLIDES")
    assert (code, err) == (0, "")
    skipped = [line for line in out.splitlines() if line.startswith("skip  ")]
    assert all("stable-baselines3 is not installed" in line for line in skipped)
    assert out.count("pass  ") == len(CHECKS) - len(skipped)
    code, out, err = metarl("check tests.families.checks.test_check:BROKEN")
    assert code == 2
    assert "fail  time limit         not truncated after 12 steps\n      fix: wrap it" in out
    assert err.startswith("metarl: error: family 'tests.families.checks.test_check:BROKEN' fails ")
    assert metarl("check navigation2D")[2].startswith("metarl: error: unknown family 'navigation2D'")


class Words(spaces.Space):
    """A space without a flat form, as the missions of a grid world."""

    def sample(self, mask=None, probability=None):
        return "go"

    def contains(self, x):
        return isinstance(x, str)


class Grid(gymnasium.Env):
    observation_space = spaces.Dict({"image": spaces.Box(0, 1, (2,)), "mission": Words()})
    action_space = spaces.Discrete(2)

    def __init__(self, size=3):
        self.size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"image": np.zeros(2, np.float32), "mission": "go"}, {}


class Silent(Grid):
    def __init__(self, size=3):
        raise NotImplementedError


class Joystick(Grid):
    observation_space = spaces.Box(0, 1, (2,))
    action_space = spaces.Dict({"x": spaces.Discrete(2)})


class Unmade(Slides):
    def make(self, task, *, render_mode=None):
        raise NotImplementedError


SIZE = spaces.Dict({"size": spaces.Discrete(3)})


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: declare_family(Grid, SIZE, horizon=3),
         "family 'Grid': observation entry 'mission' is a Words, which has no flat form; make numbers of it in a "
         "wrapper, or leave it out: gymnasium.wrappers.FilterObservation(env, ['image'])"),
        (lambda: declare_family("Pendulm-v1", SIZE), "'Pendulm-v1': Environment `Pendulm` doesn't exist. Did you "),
        (lambda: declare_family(Silent, SIZE, horizon=3),
         "family 'Silent': its constructor raised NotImplementedError without a message"),
        (lambda: declare_family(Joystick, SIZE, horizon=3), "action_space = Dict('x': Discrete(2))"),
        (Unmade, "no environment for {'drift': 0."),
    ],
)  # fmt: skip
def test_a_family_that_cannot_be_built_is_one_failure_with_its_cause(make, found):
    findings = list(check_family(make()))
    failed = [finding for finding in findings if finding.verdict == "fail"]
    assert len(failed) == 1
    assert found in failed[0].found
    assert findings[-1] is failed[0]
    assert "\n" not in failed[0].found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": gymnasium.make("Pendulum-v1")}, "env = <.*>: an environment; expected a registered id, or a function"),
        ({"env": 3}, "env = 3; expected a registered id, or a function that makes an environment"),
        (
            {"env": Grid, "horizon": "50"},
            "family 'Grid': horizon = '50'; expected a whole number of steps of at least 1$",
        ),
        ({"env": Grid}, "horizon = None; .* at least 1; give declare_family the time limit of an episode"),
        ({"env": "Pendulum-v1", "horizon": 0.5}, "family 'Pendulum-v1': horizon = 0.5; expected a whole number"),
    ],
)
def test_what_cannot_be_declared_is_said_where_it_is_declared(options, message):
    with pytest.raises(FamilyError, match=message):
        declare_family(task_space=SIZE, **options)


class Burning(Slide):
    def step(self, action):
        raise RuntimeError("the motor is on fire")


def test_one_exception_that_many_checks_meet_is_one_failure():
    found = list(check_family(over(Burning)))
    assert [finding.check for finding in found if finding.verdict == "fail"] == ["values"]
    same = [finding.check for finding in found if finding.found == "same error as in 'values'"]
    assert {"gymnasium", "repeatable", "task matters", "batch"} <= set(same)
