"""The pages in a real browser: nothing overlaps or is cut off at three widths, axe finds nothing serious, nothing is loaded."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth.data.example import example_table
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.gate.policy import Policy
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements
from synth.report.comparison import Side, side_by_side
from synth.report.evidence import render_evidence
from synth.report.page import render
from tests.report.test_page import figures, judged

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install -e '.[dev]'")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SIZES = {390: 844, 1024: 768, 1920: 1080}
PAPER = 688  # CSS pixels between the margins of A4, upright
NAMES = ("judged", "public", "columns", "comparison", "evidence")
METRICS = ["fidelity.shape", "fidelity.trend", "privacy.exact_copies", "fairness.group_share", "fairness.label_gap"]

POLICY = """
name: house
version: 1.0.0
title: The house's own policy
description: For the tests of what a page looks like.
profile: partner
checks:
  - {measure: fidelity.shape, limit: 0.001, why: "Columns must look like real ones do, in every single part of them."}
  - {measure: fidelity.trend, excess: 0.05, why: "Relations must look like real ones."}
  - {measure: privacy.exact_copies, limit: 0.5, why: "Rows must not be copies."}
  - {measure: fairness.group_share, excess: 0.0001, why: "Groups must keep their size."}
  - {measure: fairness.label_gap, limit: 0.03, why: "Groups must keep their outcomes."}
  - {measure: utility.gap, limit: 0.1, severity: warn, why: "Models must be of use."}
  - {measure: privacy.membership_auc, limit: 0.6, why: "Nobody must be recognised."}
"""

# What is wrong with a page's layout, in words; nothing where all is well.
LAYOUT = """() => {
  const wrong = [], wide = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > wide) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`)
  const named = e => `<${e.tagName} class="${e.getAttribute('class') || ''}"> ${e.textContent.trim().slice(0, 40)}`
  const seen = e => e.checkVisibility() && !e.closest('.unseen, .skip, .defs')
  for (const e of document.querySelectorAll('body *')) {
    if (!seen(e) || e.closest('.scroll') && !e.matches('.scroll')) continue
    const box = e.getBoundingClientRect()
    if (box.width && (box.right > wide + 1 || box.left < -1)) wrong.push(`beyond the edge: ${named(e)}`)
    if (!(e instanceof SVGElement) && !e.matches('.scroll') && e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      wrong.push(`wider than its box: ${named(e)}`)
  }
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node; (node = walker.nextNode());) {
    if (!node.data.trim() || !seen(node.parentElement) || node.parentElement.closest('title, style')) continue
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const r of range.getClientRects()) if (r.width > 1) texts.push([r, node])
  }
  texts.sort((a, b) => a[0].top - b[0].top)
  texts.forEach(([a, one], i) => {
    for (let j = i + 1; j < texts.length && texts[j][0].top < a.bottom - 3; j++) {
      const [b, other] = texts[j]
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left)
      if (across > 2 && Math.min(a.bottom, b.bottom) - b.top > 3 && one.parentElement !== other.parentElement)
        wrong.push(`"${one.data.trim().slice(0, 30)}" and "${other.data.trim().slice(0, 30)}" overlap`)
    }
  })
  return wrong.slice(0, 12)
}"""
FINDINGS = """async rules => (await axe.run({resultTypes: ['violations'], ...(rules.length && {runOnly: rules})})).violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')}`)"""


@functools.cache
def hundred_columns() -> str:
    """A page whose parts all hold as much as they ever do for a hundred columns."""
    rng = np.random.default_rng(0)
    names = tuple(f"a_rather_long_name_of_column_{i}" for i in range(100))
    schema = Schema(tuple(Column(n, Kind.DECIMAL, decimals=3) for n in names))
    table = Table(pa.table({n: np.round(rng.normal(size=500), 3) for n in names}), schema)
    found = figures(names)
    found["fidelity.trend"].detail["pairs"][:] = [[i, j, 0.1] for i, j in combinations(range(100), 2)]
    found["fidelity.trend"].detail["worst"][:] = [
        {"columns": [names[i], names[i + 1]], "error": 0.2, "reference": 0.1} for i in range(20)
    ]
    return render(found, judged(), train=table, synthetic=table, title="A hundred columns")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, made once from a small real evaluation."""
    train, holdout, fake = (example_table(300, seed=seed) for seed in range(3))
    measured = evaluate(train, holdout, fake, only=METRICS)
    verdict = Policy.parse(POLICY).assess(measured)
    assert len(verdict.blocking) > 5, "what stands in the way is part of the page, and some of it is folded"
    other = Measurements(measured.items, {**measured.context, "synth": "0.0.1"})
    sides = [
        Side("first", measured, verdict, {"generator.name": "trees", "seed": 0}),
        Side("second-with-a-long-name", other, None, {"generator.name": "smote", "seed": 0}),
        Side("third", measured, Policy.load("research").assess(measured), {"seed": 1}),
    ]
    drawn = {
        "judged": render(measured, verdict, train=train, holdout=holdout, synthetic=fake, title="Examples & <more>"),
        "public": render(measured, verdict, synthetic=fake, public=True),
        "columns": hundred_columns(),
        "comparison": side_by_side(sides).to_html(),
        "evidence": render_evidence(
            verdict, title="Examples", facts={"rows": "300", "policy": "house 1.0.0"}, columns=[("a", "integer", "feature")]
        ),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, page in drawn.items():
        (folder / f"{name}.html").write_text(page)
    return {name: folder / f"{name}.html" for name in drawn}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab that remembers what it asked for, and what it was refused or warned of."""
    tab = browser.new_page(viewport={"width": 1024, "height": 768})
    tab.asked, tab.said = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.said.append(message.text))
    yield tab
    tab.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_or_is_cut_off_and_nothing_is_loaded(pages: dict[str, Path], tab: Any, name: str) -> None:
    tab.goto(pages[name].as_uri())
    for width, height in SIZES.items():
        tab.set_viewport_size({"width": width, "height": height})
        assert tab.evaluate(LAYOUT) == [], f"{name} at {width} px"
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate(LAYOUT) == [], f"{name}, unfolded"
    assert tab.asked == [pages[name].as_uri()]
    assert tab.said == [], "the browser refused or warned of nothing"


def test_the_layout_check_sees_what_it_is_for(pages: dict[str, Path], tab: Any) -> None:
    for rule, told in (
        (".figures h3 { width: 1200px }", "beyond the edge"),
        (".figures p { margin-top: -18px }", "overlap"),
        (".says { width: 90px; white-space: nowrap; overflow: hidden }", "wider than its box"),
    ):
        tab.goto(pages["judged"].as_uri())
        tab.evaluate("rule => document.styleSheets[0].insertRule(rule, document.styleSheets[0].cssRules.length)", rule)
        assert any(told in wrong for wrong in tab.evaluate(LAYOUT)), rule


@pytest.mark.parametrize("name", ["judged", "comparison"])
def test_axe_finds_nothing_serious(pages: dict[str, Path], tab: Any, name: str) -> None:
    axe = resources.files(pytest.importorskip("axe_playwright_python")).joinpath("axe.min.js").read_text()
    tab.goto(pages[name].as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    tab.evaluate(axe)
    assert tab.evaluate(FINDINGS, []) == []
    tab.emulate_media(color_scheme="dark")  # which changes nothing but the colours
    assert tab.evaluate(FINDINGS, ["color-contrast"]) == []
    tab.evaluate("document.styleSheets[0].insertRule('.soft { color: #999 !important; background: #aaa }', 99)")
    assert any(found.startswith("color-contrast") for found in tab.evaluate(FINDINGS, ["color-contrast"])), "axe can see it"


def test_what_is_planted_into_a_page_is_neither_loaded_nor_run(pages: dict[str, Path], tab: Any, tmp_path: Path) -> None:
    planted = """<script>document.title = "run"</script><img src="http://127.0.0.1:9/x.png" onerror="document.title = 'run'">
<p id="styled" style="color: red">styled</p><link rel="stylesheet" href="http://127.0.0.1:9/x.css">"""
    page = pages["judged"].read_text().replace("</main>", planted + "</main>")
    (tmp_path / "planted.html").write_text(page)
    tab.goto((tmp_path / "planted.html").as_uri())
    assert tab.title() != "run"
    assert tab.evaluate("getComputedStyle(document.getElementById('styled')).color") != "rgb(255, 0, 0)"
    refused = [said for said in tab.said if "Content Security Policy" in said]
    assert len(refused) >= 4, tab.said


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_whole(pages: dict[str, Path], tab: Any, name: str) -> None:
    tab.goto(pages[name].as_uri())
    if name == "judged":
        assert tab.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    tab.set_viewport_size({"width": PAPER, "height": 1000})
    tab.emulate_media(media="print", color_scheme="dark")
    wide = "() => [...document.querySelectorAll('table, svg.drawing, figure, li, p')].filter(e => e.checkVisibility()"
    wide += f" && e.getBoundingClientRect().right > {PAPER + 1}).map(e => e.textContent.trim().slice(0, 60))"
    assert tab.evaluate(wide) == []
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)", "ink on paper, whatever the screen"
    assert not tab.locator("nav").is_visible()
    words = tab.locator("details.open li")
    assert all(words.nth(i).evaluate("e => e.checkVisibility({contentVisibilityAuto: true})") for i in range(words.count()))


@pytest.mark.parametrize("name", ["judged", "comparison"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(pages: dict[str, Path], tab: Any, name: str) -> None:
    tab.goto(pages[name].as_uri())
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "it comes into view"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    everything = "a[href], summary, .scroll"
    count = tab.locator(everything).evaluate_all("found => found.filter(e => e.checkVisibility()).length")
    tab.goto("about:blank")
    tab.goto(pages[name].as_uri())
    reached = "e => [[...document.querySelectorAll('a[href], summary, .scroll')].indexOf(document.activeElement),"
    reached += " getComputedStyle(document.activeElement).outlineWidth]"
    places = []
    for _ in range(count):
        tab.keyboard.press("Tab")
        places.append(tab.evaluate(reached))
    assert [place for place, _ in places] == sorted({place for place, _ in places}), "each once, in the order of the page"
    assert -1 not in {place for place, _ in places}
    assert {outline for _, outline in places} == {"3px"}
    for fold in tab.locator("details").all():
        fold.locator("summary").focus()
        tab.keyboard.press("Enter")
        assert fold.evaluate("e => e.open")


def test_the_landmarks_and_headings_are_those_of_one_document(pages: dict[str, Path], tab: Any) -> None:
    tab.goto(pages["judged"].as_uri())
    tree = tab.locator("body").aria_snapshot()
    for told in ("banner", 'navigation "On this page"', "main", "contentinfo", 'heading "Examples & <more> :', "img "):
        assert told in tree, told
    assert tab.locator("main h2").count() == tab.locator("main > section").count() == tab.locator("nav a").count()


def test_a_page_of_a_hundred_columns_stays_under_a_megabyte(pages: dict[str, Path]) -> None:
    assert pages["columns"].stat().st_size < 1_000_000
