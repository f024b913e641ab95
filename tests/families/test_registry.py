import sys
import types

import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.declared import declare_family
from metarl.families.ids.installed import registered
from metarl.families.registry import family_name, file_of_family, handed_over, load_family
from tests.helpers.families import PENDULUM, TROUBLED


def test_families_are_found_by_entry_point_and_by_module():
    assert "navigation2d" in registered()
    assert load_family("navigation2d").variant == "finn17"
    assert load_family("tests.helpers.families:PENDULUM") is PENDULUM
    assert load_family("tests.helpers.families:pendulum").horizon == 200


def test_a_run_directory_cannot_name_any_function_as_its_family():
    for name in ("os:getcwd", "os:abort", "subprocess:run", "tests.helpers.families:np"):
        with pytest.raises(FamilyError, match="expected a TaskFamily, or a function of"):
            load_family(name)


def mine(name="mine", horizon=3):
    return declare_family("Pendulum-v1", spaces.Dict({"m": spaces.Box(0.5, 2.0, ())}), horizon=horizon, name=name)


def test_a_family_is_recorded_by_the_name_that_leads_to_it(monkeypatch):
    assert family_name("navigation2d") == "navigation2d"
    assert family_name(load_family("navigation2d", "wide")) == "navigation2d"
    swings = types.ModuleType("swings")
    swings.family = mine()
    monkeypatch.setitem(sys.modules, "swings", swings)
    assert family_name(swings.family) == "swings:family"
    assert family_name(mine()) == "<mine>"
    # Modules that import a family, before or after the one that declares it, do not give it its name.
    for name in ("tests.early", "tests.helpers.families", "tests.late"):
        module = sys.modules[name] if name in sys.modules else types.ModuleType(name)
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, name, module)
        module.__dict__.setdefault("TROUBLED", TROUBLED)
    assert family_name(TROUBLED) == "tests.helpers.families:TROUBLED"
    with pytest.raises(FamilyError, match=r"^family = 3; expected a name or a TaskFamily"):
        family_name(3)


def test_a_family_that_is_handed_over_is_found_meanwhile_and_not_afterwards():
    first, second = mine(), mine()
    with handed_over(first) as name:
        assert load_family(name) is first
        with handed_over(second) as same:
            assert (same, load_family(same)) == (name, second)
        assert load_family(name) is first
    with pytest.raises(FamilyError, match=r"^family '<mine>' was handed over as an object that no module has; hand it"):
        load_family(name)
    assert load_family(first) is first
    assert load_family(first, observe_task=True).family is first
    wide = load_family("navigation2d", "wide")
    with pytest.raises(FamilyError, match="family 'navigation2d' has the variant wide; got --variant finn17"):
        load_family(wide, "finn17")


def test_the_file_of_a_family_is_that_of_its_module():
    assert file_of_family("tests.helpers.families:TROUBLED").endswith("tests/helpers/families.py")
    assert [file_of_family(name) for name in ("navigation2d", "navigation2d:wide", "<mine>", "nobody:f")] == [None] * 4
