"""Malformed command lines and configuration files, written by hand and at random."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.faults.processes import metarl
from tests.faults.report import Tally
from tests.faults.tiny import training

MOST_SECONDS = 1.0

LINES = """
trian | unknown command 'trian' | did you mean 'train'
trainn maml | unknown command | did you mean 'train'
evaluat RUN | unknown command 'evaluat' | did you mean 'evaluate'
train mamltrpo --run-dir NEW | unknown algorithm 'mamltrpo' | did you mean 'maml-trpo'
train reptil --run-dir NEW | unknown algorithm 'reptil' | did you mean 'reptile'
train nowhere:Config --run-dir NEW | nowhere
train json:loads --run-dir NEW | expected a dataclass
train maml | --run-dir is missing
train maml --run-dir | --run-dir
train maml --run-dir NEW --famly navigation2d | --famly | did you mean '--family'
train maml --run-dir NEW --family navigation2 | unknown family | did you mean 'navigation2d'
train maml --run-dir NEW --family nowhere:f | nowhere
train maml --run-dir NEW --variant fin17 | unknown variant | did you mean 'finn17'
train maml --run-dir NEW --iterations ten | --iterations = ten | a whole number
train maml --run-dir NEW --iterations 1.5 | --iterations = 1.5 | a whole number
train maml --run-dir NEW --iterations -1 | --iterations = -1 | not negative
train maml --run-dir NEW --iterations | --iterations
train maml --run-dir NEW --seed -1 | --seed = -1 | not negative
train maml --run-dir NEW --seed 99999999999999999999 | --seed | below 2^63
train maml --run-dir NEW --inner.lr fast | --inner.lr = fast | a number
train maml --run-dir NEW --inner.lr -1 | --inner.lr = -1.0 | above 0
train maml --run-dir NEW --inner.lr nan | --inner.lr = nan | finite
train maml --run-dir NEW --inner.lr inf | --inner.lr = inf | finite
train maml --run-dir NEW --inner.steps -1 | --inner.steps = -1
train maml --run-dir NEW --inner.stps 1 | --inner.stps | did you mean '--inner.steps'
train maml --run-dir NEW --inner.optimiser sdg | --inner.optimiser = sdg | sgd
train maml --run-dir NEW --inner.learned-lr all | --inner.learned-lr | per-layer
train maml --run-dir NEW --inner.adapt context | --inner.adapt = context | context
train maml --run-dir NEW --meta-batch-size 0 | --meta-batch-size = 0 | at least 1
train maml --run-dir NEW --episodes 0 | --episodes = 0 | at least 1
train maml --run-dir NEW --samples-per-step 0 | --samples-per-step = 0 | above 0
train maml --run-dir NEW --gamma 1.5 | --gamma = 1.5 | from 0 to 1
train maml --run-dir NEW --gae-lambda -0.1 | --gae-lambda = -0.1 | from 0 to 1
train maml --run-dir NEW --checkpoint-every 0 | --checkpoint-every = 0 | at least 1
train maml --run-dir NEW --keep-checkpoints -1 | --keep-checkpoints = -1 | not negative
train maml --run-dir NEW --validation-tasks -2 | --validation-tasks = -2 | not negative
train maml --run-dir NEW --workers -1 | --workers = -1 | not negative
train maml --run-dir NEW --worker-timeout 0 | --worker-timeout = 0.0 | above 0
train maml --run-dir NEW --dtype float16 | --dtype | float32
train maml --run-dir NEW --policy.activation tan | --policy.activation | tanh
train maml --run-dir NEW --policy.hidden-sizes 0 | --policy.hidden-sizes | from 1
train maml --run-dir NEW --policy.hidden-sizes a b | --policy.hidden-sizes | whole numbers
train maml --run-dir NEW --policy.initial-log-std 9 | --policy.initial-log-std = 9.0 | bounds
train maml --run-dir NEW --adam.lr 0 | --adam.lr = 0.0 | above 0
train maml --run-dir NEW --adam.beta2 1 | --adam.beta2 = 1.0 | below 1
train maml-trpo --run-dir NEW --trust-region.max-kl 0 | --trust-region.max-kl = 0.0 | above 0
train maml-trpo --run-dir NEW --trust-region.backtrack-ratio 1 | --trust-region.backtrack-ratio = 1.0 | between 0 and 1
train reptile --run-dir NEW --inner.first-order | --inner.first-order | Reptile
train promp --run-dir NEW --clip 0 | --clip = 0.0 | above 0
train maml --run-dir NEW --config nothing | --config nothing | neither a file
train maml --run-dir NEW --config none.toml | none.toml | cannot be read
train maml --run-dir NEW --config finn17-navigation2d | algorithm = 'maml-trpo' | expected 'maml'
train maml --run-dir RUN | holds a run already | --or-resume
resume | RUN
resume nowhere | not a run directory
resume RUN --iterations many | --iterations = many | a whole number
resume RUN --iteration 9 | --iteration | did you mean '--iterations'
evaluate | RUN
evaluate nowhere | not a run directory
evaluate RUN --tasks x | --tasks = x | a whole number
evaluate RUN --plot curve.jpeg2 | --plot = curve.jpeg2 | .png
adapt RUN --out p.safetensors | --task
compare | RUN
compare RUN --taks 3 | --taks | did you mean '--tasks'
"""
"""A command line, and what the one line says of it: field, value, expectation, nearest name."""

FILES = """
iterations = "ten" | iterations = 'ten' | a whole number
iterations = 1.5 | iterations = 1.5 | a whole number
iterations = true | iterations = True | a whole number
itertions = 3 | unknown key 'itertions' | did you mean 'iterations'
seed = -4 | seed = -4 | not negative
family = 3 | family = 3 | a string
inner = 3 | inner = 3 | a table
inner.lr = "fast" | inner.lr = 'fast' | a number
inner.lr = nan | inner.lr = nan | finite
inner.first_order = 1 | inner.first_order = 1 | true or false
inner.rate = 1 | unknown key 'inner.rate'
policy.hidden_sizes = 8 | policy.hidden_sizes = 8 | a list of whole numbers
policy.hidden_sizes = [8, "a"] | policy.hidden_sizes | a list of whole numbers
policy.activation = "tan" | policy.activation = 'tan' | 'tanh'
seed = [ | not valid TOML
algorithm = "mamltrpo" | unknown algorithm 'mamltrpo' | did you mean 'maml-trpo'
domain = "go" | domain = 'go' | expected 'reinforcement-learning'
"""
"""An entry of a run's config.toml, in place of what was there, and what is said of it."""


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """One line, exit code 2; processor seconds of whole processes, start of the interpreter included."""
    tally = Tally("malformed configuration: one line, exit code 2, in 1 s")
    run = place / "run"
    assert metarl(training(run, iterations=1), place / "log").wait() == 0
    for number, (line, *expected) in enumerate(_split(LINES)):
        arguments = [str(run) if word == "RUN" else word.replace("NEW", str(place / "new")) for word in line.split()]
        afresh = not quick or number % 10 == 0
        _refused(tally, line, arguments, expected, place, afresh=afresh)
        tally.check(not (place / "new").exists(), f"{line}: left a directory behind")
    for number, (entry, *expected) in enumerate(_split(FILES)):
        key = entry.partition("=")[0].strip()
        broken = place / "broken"
        broken.mkdir(exist_ok=True)
        head = "" if key == "algorithm" else 'algorithm = "maml"\n'
        (broken / "config.toml").write_text(f"{head}{entry}\n")
        _refused(tally, entry, ["resume", str(broken)], ["config.toml", *expected], place, afresh=number % 10 == 0)
    _random_lines(tally, rng.randrange(2**32), 60 if quick else 1000)
    _random_files(tally, place / "broken", rng.randrange(2**32), 100 if quick else 2000)
    return tally


def _split(table: str) -> list[list[str]]:
    return [[part.strip() for part in line.split(" | ")] for line in table.strip().splitlines()]


def _refused(tally: Tally, what: str, arguments: list[str], expected: list[str], place: Path, *, afresh: bool) -> None:
    if afresh:
        before = _used()
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        done = subprocess.run([sys.executable, "-m", "metarl", *arguments],
                              cwd=place, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
        code, said = done.returncode, done.stderr
        tally.most("most seconds of a whole process", _used() - before)
        tally.check(_used() - before < MOST_SECONDS, f"{what}: {_used() - before:.2f} s")
    else:
        process = metarl(arguments, place / "log")
        code, said = process.wait(), process.said
    tally.count("whole processes" if afresh else "forked processes")
    plain = said.startswith("metarl: error: ") and len(said.splitlines()) == 1 and "Traceback" not in said
    missing = [] if any(word in said for word in expected[-1:]) else expected[-1:]
    missing += [word for word in expected[:-1] if word not in said]
    tally.check(code == 2 and plain and not missing, f"{what}: exit code {code}, without {missing}: {said[-300:]!r}")


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


OPTIONS = ("--inner.lr", "--iterations", "--seed", "--family", "--policy.hidden-sizes", "--gamma", "--inner.steps",
           "--dtype", "--config", "--variant", "--episodes", "--adam.lr", "--nonsense", "-x", "--clip")  # fmt: skip
WORDS = st.one_of(
    st.sampled_from([*OPTIONS, "1", "-1", "0.5", "nan", "navigation2d", "", "=", "--", "1e999", "None", "[]"]),
    st.text(max_size=8),
)


def _random_lines(tally: Tally, start: int, examples: int) -> None:
    """Without --run-dir no line can start a training."""
    import contextlib
    import io

    from metarl.cli import main

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["maml", "maml-trpo", "promp", "reptile", "pretrain"]), st.lists(WORDS, max_size=6))
    def refused(algorithm: str, words: list[str]) -> None:
        out, err = io.StringIO(), io.StringIO()
        line = ["train", algorithm, *(word for word in words if not word.startswith(("-h", "--help", "--r")))]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(line)
        except BaseException as error:
            tally.check(False, f"{line}: raised {type(error).__name__}: {error}")
            return
        kept = code == 2 and len(err.getvalue().splitlines()) == 1
        tally.check(kept, f"{line}: exit code {code}: {err.getvalue()[-300:]!r}")
        tally.count("random command lines")

    refused()


def _random_files(tally: Tally, run: Path, start: int, examples: int) -> None:
    """Random values under the keys of a configuration, and random text in between."""
    import tomli_w

    from metarl.core.errors import MetarlError
    from metarl.runs.directory import read_config

    keys = st.sampled_from(["seed", "iterations", "family", "dtype", "inner", "policy", "adam", "workers", "gamma"])
    values = st.recursive(
        st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5), st.booleans()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(min_size=1, max_size=9), inner)),
        max_leaves=5,
    )

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(keys, values, max_size=4), st.one_of(st.just(""), st.text(max_size=12)))
    def read_or_refused(entries: dict, text: str) -> None:
        content = tomli_w.dumps({"algorithm": "maml", **entries}) + text
        (run / "config.toml").write_bytes(content.encode("utf-8", "surrogatepass"))
        tally.count("random files")
        try:
            read_config(run)
        except MetarlError as error:
            tally.check("config.toml" in str(error), f"{content!r}: {error}")
        except Exception as error:
            tally.check(False, f"{content!r}: raised {type(error).__name__}: {error}")

    read_or_refused()
