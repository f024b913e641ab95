"""The page: complete, self-contained, escaped, and drawn by a browser."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from metarl.core.errors import ConfigError, RunError
from metarl.report import page as module
from metarl.report.page import check_extra, script_json, write_report
from tests.helpers.cli import metarl

jinja2 = pytest.importorskip("jinja2", reason="Jinja2 is not installed (extra report)")
pytest.importorskip("plotly", reason="plotly is not installed (extra report)")

MOST_BYTES = 8_000_000
TITLE = 'Adaptation <b>"quickly"</b> & well'


@pytest.fixture(scope="module")
def written(options, measured, tmp_path_factory):
    """The page about what was measured already."""
    out = tmp_path_factory.mktemp("pages") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measure", lambda *_: measured)
        return write_report(replace(options, out=out, title=TITLE))


@pytest.fixture(scope="module")
def html(written):
    return written.path.read_text(encoding="utf-8")


def without_scripts(html):
    return re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


def test_the_page_has_every_part(html):
    text = without_scripts(html)
    for part in ("summary", "trained", "adaptation", "tasks", "extrapolation", "episodes", "time", "notes"):
        assert f'<section id="{part}">' in text
    assert "metarl train maml --family navigation2d --variant finn17 --iterations 2" in text
    assert "commit" in text
    assert text.count("<figcaption>") == text.count("<figure id=")


def test_the_page_is_one_small_file(written, html):
    assert written.bytes == len(html.encode()) <= MOST_BYTES
    text = without_scripts(html)
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", text) == []
    assert "default-src 'none'" in text


def test_every_plot_has_words_in_its_place(html):
    labels = re.findall(r'class="plot" role="img" aria-label="([^"]*)"', html)
    assert len(labels) == html.count('class="plot"') > 8
    assert all(re.search(r"\d", label) for label in labels)


def test_strings_are_escaped(html):
    assert TITLE not in html
    assert "&lt;b&gt;" in html
    assert script_json(["</script><!--"]) == '["\\u003c/script\\u003e\\u003c!--"]'


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"jinja2 is not installed; pip install 'metarl-toolkit\[report\]'"):
        check_extra()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report", "missing: RUN"),
        ("report {run} --out page.pdf", r"--out = page.pdf; expected a file name that ends in .html"),
        ("report {run} --steps 0", "--steps = 0; expected a whole number of at least 1"),
        ("report {run} --tasks 0", "--tasks = 0; expected a whole number of at least 1"),
        ("report {run}/nowhere", "nowhere: not a run directory"),
        ("report {run} --titel x", "did you mean '--title'"),
    ],
)
def test_errors_are_one_line(runs, line, message):
    code, _, err = metarl(line, run=runs[0])
    assert code == 2
    assert re.search(message, err)
    assert err.count("\n") == 1


def test_a_damaged_run_and_another_family_are_refused(runs, memory_run, options, tmp_path, cheap):
    damaged = shutil.copytree(runs[0], tmp_path / "damaged")
    for manifest in damaged.glob("checkpoints/*/manifest.json"):
        manifest.write_text("{")
    with pytest.raises(RunError, match="damaged: holds no intact checkpoint"):
        write_report(replace(options, runs=(damaged,)))
    with pytest.raises(ConfigError, match="different environments"):
        write_report(replace(options, runs=(runs[0], memory_run)))


def test_the_command_writes_a_page_of_a_memory_learner(memory_run, tmp_path):
    out = tmp_path / "deep" / "report.html"
    code, said, err = metarl("report {run} --out {out} --tasks 3 --episodes 2 --steps 1", run=memory_run, out=out)
    assert (code, err) == (0, "")
    assert said.splitlines()[-1].startswith(f"saved {out} (")
    assert '<section id="extrapolation">' not in out.read_text()


BROWSER = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=found, args=BROWSER)
        yield started
        started.close()


@pytest.mark.parametrize("width", [400, 1600])
def test_a_browser_draws_it(browser, written, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    assert said == []
    assert asked == [written.path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    plots, drawn = (page.locator(f".plot{which}").count() for which in ("", " .main-svg:first-child"))
    assert 8 < plots == drawn
    wide = "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('.main-svg').clientWidth > innerWidth)"
    assert page.evaluate(f"{wide}.length") == 0
    page.close()


@pytest.mark.slow
def test_it_prints(browser, written, tmp_path):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(written.path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    widest = "Math.max(...[...document.querySelectorAll('.plot')].map(p => p.scrollWidth - p.clientWidth))"
    page.wait_for_function(f"{widest} <= 1", timeout=20_000)
    page.close()


def test_templates_are_beside_the_code():
    assert {path.name for path in Path(module.TEMPLATES).iterdir()} == {"report.html", "report.css", "report.js"}
