import sys

import pytest

from metarl.core.errors import ConfigError, FamilyError
from metarl.core.imports import import_attribute, lazy_door


def test_an_attribute_of_a_module_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "lamps_of_a_user.py").write_text("LAMP = 7\n_hidden = 1\n")
    try:
        assert import_attribute("lamps_of_a_user:LAMP", "lamp", ConfigError) == 7
        with pytest.raises(FamilyError, match=r"^lamp: module lamps_of_a_user has no 'LAMPS' \(valid: LAMP\); did you"):
            import_attribute("lamps_of_a_user:LAMPS", "lamp", FamilyError)
    finally:
        sys.modules.pop("lamps_of_a_user", None)


def test_a_module_that_raises_is_named_with_what_it_raised(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_of_a_user.py").write_text("[][1]")
    (tmp_path / "knowing_of_a_user.py").write_text(
        "from metarl.core.errors import FamilyError\nraise FamilyError('no such robot')"
    )
    with pytest.raises(ConfigError, match=r"^lamp: importing broken_of_a_user raised IndexError: list index out of"):
        import_attribute("broken_of_a_user:LAMP", "lamp", ConfigError)
    # An error that says itself what is wrong stays as it is.
    with pytest.raises(FamilyError, match=r"^no such robot$"):
        import_attribute("knowing_of_a_user:LAMP", "lamp", ConfigError)


def test_a_door_loads_the_file_of_a_name_when_the_name_is_used(tmp_path, monkeypatch):
    package = tmp_path / "house_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from metarl.core.imports import lazy_door\n"
        "__getattr__, __dir__, __all__ = lazy_door(__name__, {'house_of_a_test.cellar': ('wine', 'ale'), "
        "'house_of_a_test.attic': ('dust',)})\n"
    )
    (package / "cellar.py").write_text("wine, ale = 1, 2\n")
    (package / "attic.py").write_text("raise RuntimeError('nobody goes there')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import house_of_a_test as house

    try:
        assert house.__all__ == ["wine", "ale", "dust"]
        assert dir(house) == ["ale", "dust", "wine"]
        assert "house_of_a_test.cellar" not in sys.modules
        assert (house.wine, house.ale) == (1, 2)
        with pytest.raises(RuntimeError, match=r"nobody"):
            _ = house.dust
        with pytest.raises(AttributeError, match=r"^module 'house_of_a_test' has no attribute 'water'$"):
            _ = house.water
    finally:
        for name in [name for name in sys.modules if name.startswith("house_of_a_test")]:
            del sys.modules[name]


def test_a_door_is_given_its_names_only():
    load, _, names = lazy_door("metarl.core", {"metarl.core.errors": ["ConfigError"]})
    assert names == ["ConfigError"]
    assert load("ConfigError") is ConfigError
    with pytest.raises(AttributeError):
        load("FamilyError")
