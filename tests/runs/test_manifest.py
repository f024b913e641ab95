import pytest

from metarl.core.errors import RunError
from metarl.runs import checkpoint as ck
from tests.helpers.checkpoints import FACTS, STATE, rewrite


def test_other_formats_are_refused_with_the_reason(tmp_path):
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    rewrite(folder, format=99)
    with pytest.raises(RunError, match="format 99; this version of metarl reads formats 1 and 2"):
        ck.load_checkpoint(folder)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path):
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    rewrite(folder, files={"../../outside.safetensors": {"sha256": "0", "bytes": 3}})
    (tmp_path / "outside.safetensors").write_bytes(b"abc")
    with pytest.raises(RunError, match=r"'../../outside.safetensors' is not the entry of a file beside it"):
        ck.load_checkpoint(folder)


@pytest.mark.parametrize("entry", ["iteration", "environment_steps", "threads"])
def test_manifests_without_what_a_resume_needs_are_refused(tmp_path, entry):
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    for value in ("many", None):
        rewrite(folder, **{entry: value})
        with pytest.raises(RunError, match="missing or of another type"):
            ck.load_checkpoint(folder)


def test_choosing_a_checkpoint(tmp_path):
    for iteration, score in ((1, -5.0), (2, -1.0), (3, None)):
        ck.save_checkpoint(tmp_path, iteration, STATE, FACTS | {"meta_validation": score and {"score": score}})
    assert ck.select_checkpoint(tmp_path).name == "00000003"
    assert ck.select_checkpoint(tmp_path, "best").name == "00000002"
    assert ck.select_checkpoint(tmp_path, "1").name == "00000001"
    with pytest.raises(RunError, match="no checkpoint '9'; there are last, best, 1, 2, 3"):
        ck.select_checkpoint(tmp_path, "9")


def test_a_manifest_belongs_to_its_iteration_and_to_its_own_hash(tmp_path):
    folder = ck.save_checkpoint(tmp_path, 1, STATE, FACTS)
    folder.rename(folder.with_name("00000002"))
    with pytest.raises(RunError, match="it is that of iteration 1"):
        ck.load_checkpoint(folder.with_name("00000002"))
    folder.with_name("00000002").rename(folder)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"environment_steps": 5', '"environment_steps": 6'))
    with pytest.raises(RunError, match="its hash is not the one that it states"):
        ck.load_checkpoint(folder)
