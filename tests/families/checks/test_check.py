import pytest
from gymnasium import spaces

from metarl.families.checks.check import CHECKS, check_family
from metarl.families.declared import declare_family
from metarl.families.observe_task import ObserveTask
from metarl.families.registry import registered
from tests.helpers.cli import metarl
from tests.helpers.families import load_or_skip
from tests.helpers.slides import Slides, failures


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
