import pytest

from metarl.core.errors import FamilyError
from metarl.families.registry import load_family, registered
from tests.helpers.families import PENDULUM


def test_families_are_found_by_entry_point_and_by_module():
    assert "navigation2d" in registered()
    assert load_family("navigation2d").variant == "finn17"
    assert load_family("tests.helpers.families:PENDULUM") is PENDULUM
    assert load_family("tests.helpers.families:pendulum").horizon == 200


def test_a_run_directory_cannot_name_any_function_as_its_family():
    for name in ("os:getcwd", "os:abort", "subprocess:run", "tests.helpers.families:np"):
        with pytest.raises(FamilyError, match="expected a TaskFamily, or a function of"):
            load_family(name)
