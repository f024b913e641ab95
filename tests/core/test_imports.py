import importlib
import sys

import pytest

from metarl.core.errors import ConfigError, FamilyError
from metarl.core.imports import after_import, import_attribute, is_file_name, is_module_itself, lazy_door, name_in_file


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


def test_a_file_is_imported_under_the_name_of_its_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "boats_of_a_user.py").write_text("from oars_of_a_user import OAR as BOAT")
    (tmp_path / "oars_of_a_user.py").write_text("OAR = 2")
    name = f"{tmp_path}/boats_of_a_user.py:BOAT"
    assert is_file_name(name)
    assert not is_file_name("boats_of_a_user:BOAT")
    try:
        assert name_in_file(name, "boat", ConfigError) == "boats_of_a_user:BOAT"
        assert import_attribute("boats_of_a_user:BOAT", "boat", ConfigError) == 2
        assert name_in_file(name, "boat", ConfigError) == "boats_of_a_user:BOAT"
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "boats_of_a_user.py").write_text("BOAT = 3")
        with pytest.raises(ConfigError, match=r"^boat: 'boats_of_a_user' is the name of another module"):
            name_in_file(f"{tmp_path}/other/boats_of_a_user.py:BOAT", "boat", ConfigError)
    finally:
        for module in ("boats_of_a_user", "oars_of_a_user"):
            sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.py", r"^boat: there is no file /.*/none\.py$"),
        ("random.py", r"^boat: 'random' is the name of another module \(.*random\.py\); rename random\.py$"),
        ("my-boat.py", r"^boat: my-boat\.py is not the name of a module"),
    ],
)
def test_a_file_that_cannot_be_a_module_is_named(tmp_path, monkeypatch, file, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    if file != "none.py":
        (tmp_path / file).write_text("BOAT = 1")
    with pytest.raises(ConfigError, match=message):
        name_in_file(f"{tmp_path}/{file}:BOAT", "boat", ConfigError)


def test_a_module_that_is_not_there_is_told_from_one_that_it_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "carts_of_a_user.py").write_text("import wheels_of_nobody")
    with pytest.raises(ConfigError, match=f"^cart: no module 'horses_of_nobody' in {tmp_path} or on Python's path$"):
        import_attribute("horses_of_nobody:CART", "cart", ConfigError)
    with pytest.raises(ConfigError, match=r"^cart: importing carts_of_a_user raised ModuleNotFoundError: .*wheels"):
        import_attribute("carts_of_a_user:CART", "cart", ConfigError)
    assert is_module_itself(ModuleNotFoundError(name="a"), "a.b")
    assert not is_module_itself(ModuleNotFoundError(name="a.c"), "a.b")
    assert not is_module_itself(None, "a")


def test_an_action_follows_an_import(tmp_path, monkeypatch):
    """After the module's own code, once; at once where the module is there; other modules are left alone."""
    (tmp_path / "later.py").write_text("value = 1\n")
    (tmp_path / "another.py").write_text("value = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    after_import("later", lambda: seen.append(sys.modules["later"].value))
    importlib.import_module("another")
    assert importlib.util.find_spec("later") is not None  # as programs do that ask whether a package is installed
    assert seen == []
    module = importlib.import_module("later")
    assert seen == [1]
    importlib.reload(module)
    assert seen == [1]
    after_import("later", lambda: seen.append(2))
    assert seen == [1, 2]
