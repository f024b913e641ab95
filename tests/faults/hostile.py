"""Files that somebody made to have code executed, or to use up time or memory, in place of a run's own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from metarl.runs.manifest import sealed
from tests.faults.processes import Process, forked, little_memory, metarl
from tests.faults.report import Tally
from tests.faults.tiny import training

MOST_SECONDS = 2.0
MOST_MEMORY = 200
"""Seconds and MiB that a refusal may take."""


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def tensors(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tensor_files(mark: Path) -> dict[str, bytes]:
    """What lies where tensors are expected, its hash and size in the manifest being right."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "a pickled payload": pickle.dumps(Payload(mark)),
        "a zip with a pickled payload": zipped({"archive/data.pkl": pickle.dumps(Payload(mark))}),
        "a zip bomb": zipped({"data": bytes(300 << 20)}),
        "a zip with a member above it": zipped({"../../mark": b"here"}),
        "a header of 2^62 bytes by its own word": tensors({}, length=1 << 62),
        "a header of 30 MB": tensors({f"weight-{i}": entry for i in range(400_000)}, bytes(8)),
        "a deeply nested header": tensors(b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
        "overlapping tensors": tensors({"a": entry, "b": {**entry, "data_offsets": [4, 12]}}, bytes(12)),
        "a tensor beyond the end": tensors({"a": {**entry, "data_offsets": [0, 1 << 40]}}, bytes(8)),
        "an enormous shape": tensors({"a": {**entry, "shape": [1 << 40, 1 << 40]}}, bytes(8)),
        "a type that does not exist": tensors({"a": {**entry, "dtype": "F7"}}, bytes(8)),
        "other tensors than the model's": tensors({"a": entry}, bytes(8)),
        "no bytes": b"",
    }


def models(mark: Path) -> dict[str, bytes]:
    """What lies where a model that Stable-Baselines3 saved is expected."""
    import torch

    def saved(value: Any) -> bytes:
        file = io.BytesIO()
        torch.save(value, file)
        return file.getvalue()

    layer, none = saved({"action_net.weight": torch.zeros(2, 2)}), saved(None)
    endless = torch.zeros(1).expand(1 << 40)
    inflated = zipped({"archive/data.pkl": bytes(300 << 20), "archive/version": b"3"})

    def parts(policy: bytes = layer, variables: bytes = none, data: bytes = b"{}", **more: bytes) -> dict[str, bytes]:
        return {"policy.pth": policy, "pytorch_variables.pth": variables, "data": data, **more}

    def model(*given: bytes, **named: bytes) -> bytes:
        return zipped(parts(*given, **named), zipfile.ZIP_STORED)

    return {
        "a pickled model": pickle.dumps(Payload(mark)),
        "a model with pickled parameters": model(pickle.dumps(Payload(mark))),
        "a model whose parameters execute code": model(saved({"action_net.weight": Payload(mark)})),
        "a model whose variables execute code": model(variables=saved({"log_ent_coef": Payload(mark)})),
        "a model that is pickled data": model(data=pickle.dumps(Payload(mark))),
        "a model that unpacks to 300 MB": zipped(parts(bytes(300 << 20))),
        "a model with a zip bomb inside": model(inflated),
        "a model with 50 MB of description": model(data=b"[" + b"0," * (25 << 20)),
        "a deeply nested description": model(data=b'{"a":' * 200_000),
        "a tensor of 2^40 numbers in four bytes": model(saved({"action_net.weight": endless})),
        "a model with a member above it": model(**{"../../mark": b"here"}),
        "half a model": model()[: len(model()) // 2],
        "a model of no files": zipped({}),
    }


def configurations(mark: Path) -> dict[str, bytes]:
    """What lies where config.toml is expected."""
    return {
        "a pickled config": pickle.dumps(Payload(mark)),
        "a config that calls os.system": b'algorithm = "maml"\nfamily = "os:system"\n',
        "a config that names a function elsewhere": b'algorithm = "maml"\nfamily = "tests.faults.tiny:Path"\n',
        "a config with an algorithm of os": b'algorithm = "os:system"\n',
        "a config with an inner rule of os": b'algorithm = "maml"\n[inner]\noptimiser = "os:system"\n',
        "a deeply nested config": b"a = " + b"[" * 30_000,
        "a config of dotted keys": b".".join([b"a"] * 30_000) + b" = 1",
        "a config of 50 MB": b"#" * (50 << 20),
        "a config of a network that no machine holds": b'algorithm = "maml"\n[policy]\nhidden_sizes = [1000000000]\n',
    }


def manifests(mark: Path) -> dict[str, bytes]:
    """What lies where a manifest is expected."""
    entries = {"iteration": 6, "environment_steps": 1, "wall_seconds": 1.0, "threads": 1}
    return {
        "a pickled manifest": pickle.dumps(Payload(mark)),
        "a deeply nested manifest": b'{"a":' * 100_000,
        "a manifest of 50 MB": b'{"a": "' + b"x" * (50 << 20) + b'"}',
        "a manifest that lists a file above it": sealed({**entries, "files": {"../../config.toml": _entry(b"")}}),
        "a manifest of enormous numbers": sealed({**entries, "files": {}}).replace(b": 6", b": " + b"9" * 10_000),
    }


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def special(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is no regular file."""
    yield "a named pipe", lambda: os.mkfifo(path)
    yield "a link to a device", lambda: path.symlink_to("/dev/zero")
    yield "a link to itself", lambda: path.symlink_to(path.name)
    yield "a directory", lambda: path.mkdir()


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """`resume` and `evaluate` refuse each in one line; nothing is executed, little time and memory used."""
    tally = Tally("hostile file: refused in 2 s and 200 MB, nothing executed")
    whole, mark = place / "whole", place / "executed"
    assert metarl(training(whole, iterations=6, every=6), place / "whole.log").wait() == 0
    judge = Judge(tally, mark, place)
    for name, data in judge.beside_usual(tensor_files(mark)):
        run = _copy(whole, place)
        folder = run / "checkpoints" / "00000006"
        (folder / "theta.safetensors").write_bytes(data)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["theta.safetensors"] = _entry(data)
        (folder / "manifest.json").write_bytes(sealed({k: v for k, v in manifest.items() if k != "sha256"}))
        judge.commands(name, run, quick)
        policy = place / "policy.safetensors"
        policy.write_bytes(data)
        judge.refused(f"{name}, as a policy", forked(lambda policy=policy: _load(policy), place / "load.log"))  # type: ignore[misc]
    for name, data in judge.beside_usual(models(mark)):
        model = place / "model.zip"
        model.write_bytes(data)
        line = [*training(place / "hostile-start", iterations=1, every=1), "--initialise-from", str(model)]
        judge.refused(name, metarl(line, place / "model.log", little_memory))
        shutil.rmtree(place / "hostile-start", ignore_errors=True)
    for file, contents in (("config.toml", configurations), ("checkpoints/00000006/manifest.json", manifests)):
        for name, data in judge.beside_usual(contents(mark)):
            run = _copy(whole, place)
            (run / file).write_bytes(data)
            judge.commands(name, run, quick)
    for file in ("config.toml", "checkpoints/00000006/manifest.json", "checkpoints/00000006/theta.safetensors"):
        for name, make in special(place / "hostile" / file):
            run = _copy(whole, place)
            (run / file).unlink()
            make()
            judge.commands(f"{name} as {file}", run, quick)
    for file in (".lock", "metrics.jsonl"):
        for name, make in special(place / "hostile" / file):
            run = _copy(whole, place)
            (run / file).unlink()
            make()
            judge.refused(f"{name} as {file}", metarl(["resume", str(run), "--iterations", "7"], place / "h.log"), 0)
    return tally


class Judge:
    """Counts what a process did with a hostile file."""

    def __init__(self, tally: Tally, mark: Path, place: Path) -> None:
        self.tally, self.mark, self.place = tally, mark, place
        self.usual_memory = 0

    def beside_usual(self, files: dict[str, bytes]) -> Iterable[tuple[str, bytes]]:
        """The files, memory being measured beside what a command takes that refuses at once.

        Having made the files, this process is larger than before, and so are those forked from it.
        """
        usual = metarl(["evaluate", str(self.place / "nowhere")], self.place / "nowhere.log")
        usual.wait()
        self.usual_memory = usual.most_memory
        return files.items()

    def commands(self, name: str, run: Path, quick: bool) -> None:
        log = run.parent / "hostile.log"
        self.refused(name, metarl(["resume", str(run)], log, little_memory))
        if not quick:
            self.refused(name, metarl(["evaluate", str(run), "--tasks", "2", "--episodes", "2"], log, little_memory))

    def refused(self, name: str, process: Process, *codes: int) -> None:
        code = process.wait(20.0)
        said = process.said
        extra = process.most_memory - self.usual_memory
        self.tally.count("files")
        self.tally.most("most seconds", process.processor_seconds)
        self.tally.most("most MiB", extra)
        one_line = len(said.splitlines()) == (0 if code == 0 else 1) and "Traceback" not in said
        self.tally.check(code in (2, *codes) and one_line, f"{name}: exit code {code}: {said[-400:]!r}")
        self.tally.check(not self.mark.exists(), f"{name}: code was executed")
        self.mark.unlink(missing_ok=True)
        self.tally.check(process.processor_seconds < MOST_SECONDS, f"{name}: {process.processor_seconds:.1f} s")
        self.tally.check(extra < MOST_MEMORY, f"{name}: {extra} MiB")


def _copy(whole: Path, place: Path) -> Path:
    run = place / "hostile"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    return run


def _load(policy: Path) -> int:
    little_memory()
    import metarl as package
    from metarl.core.errors import MetarlError

    try:
        package.load(policy)
    except MetarlError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
