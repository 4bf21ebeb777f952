"""The page: it parses, escapes, stays small, stays the same, and the exported one names no value that only real rows have."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth.data.example import example_table
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.gate.verdict import Finding, Outcome, Severity, Verdict, decide
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Interval, Measurement, Measurements, Status
from synth.report.page import render
from synth.report.twin import to_json

VOID = {"meta", "br", "link", "hr"}
SECRET = "Xylophonist-of-Ulm"


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.labelled: list[str] = []
        self.headings: list[int] = []
        self.tags: Counter[str] = Counter()
        self.captions = self.drawings = self.titled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        inside = self.open[-1] if self.open else ""
        self.tags[tag] += 1
        self.titled += tag == "title" and inside == "svg"
        self.captions += tag == "caption" and inside == "table"
        assert "style" not in values, "the policy of content admits one style block, and nothing inline"
        assert not [name for name in values if name.startswith("on")]
        if tag == "svg" and values.get("aria-hidden") != "true":
            self.drawings += 1
            assert values["role"] == "img"
            assert values["aria-label"]
        if tag == "section":
            self.labelled.append(values["aria-labelledby"] or "")
        if tag == "th":
            assert values["scope"] in ("row", "col", "colgroup")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.ids.update([values["id"] or ""] if "id" in values else [])
        self.links += [values[key] or "" for key in ("src", "href", "srcset", "action", "data") if key in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> _Parser:
    """The page, after everything that holds for every page has been checked."""
    parser = _Parser()
    parser.feed(page)
    assert parser.open == []
    assert all(count == 1 for count in parser.ids.values())
    assert all(link[0] == "#" and link[1:] in parser.ids for link in parser.links), "a page loads and leads nowhere else"
    assert all(name in parser.ids for name in parser.labelled)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(parser.tags)
    assert parser.tags["style"] == 1
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\"" in page
    assert [parser.tags[name] for name in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    assert parser.headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(parser.headings)), parser.headings
    assert parser.captions == parser.tags["table"]
    assert parser.titled == parser.drawings
    return parser


def figures(columns: tuple[str, ...] = ("age", "city", "income")) -> Measurements:
    score, real = Interval(0.1, 0.08, 0.12, 600), Interval(0.02, 0.01, 0.03, 200)
    shape = {"columns": dict.fromkeys(columns, 0.1), "reference_columns": dict.fromkeys(columns, 0.02)}
    worst = [{"columns": list(columns[:2]), "error": 0.2, "reference": None}]
    trend = {"names": list(columns), "pairs": [[0, 1, 0.2]], "worst": worst}
    return Measurements(
        (
            Measurement("fidelity.shape", "lower", score, real, detail=shape),
            Measurement("fidelity.trend", "lower", score, real, detail=trend),
            Measurement("privacy.membership_auc", "lower", score, None),
            Measurement("fidelity.class_share", "lower", score, real, group={"city": SECRET}),
            Measurement("utility.tstr", "higher", status="absent", reason="no target"),
            Measurement("fidelity.detection", "lower", status="error", reason=f"ValueError: {SECRET}"),
        ),
        {"rows": {"train": 600, "holdout": None, "synthetic": 600}, "digests": {}, "target": None, "sensitive": [], "seed": 0},
    )


def finding(check: str = "fidelity.shape", outcome: Outcome = "fail", severity: Severity = "block", **more: Any) -> Finding:
    figures = {"value": 0.1, "low": 0.08, "high": 0.12, "limit": 0.05, "score": 0.1, "reference": 0.02} | more
    return Finding(check, outcome, severity, "0.1000 is above 0.05", "<b>broken</b> columns", **figures)


def judged(*findings: Finding) -> Verdict:
    found = findings or (finding(),)
    return Verdict(decide(found), "research", "1", "0" * 64, found, {})


def with_secret() -> Table:
    column = Column("city", Kind.CATEGORICAL, Role.FEATURE, categories=("Cork", SECRET))
    return Table(pa.table({"city": ["Cork"] * 40 + [SECRET] * 40}), Schema((column,)))


def test_a_full_page_parses_and_says_what_failed_before_the_figures() -> None:
    table = example_table()
    page = render(figures(), judged(), train=table, synthetic=example_table(seed=1), title="Adults")
    assert parsed(page).drawings == 11  # 1 finding, 3 figures, 3 columns, 3 of one pair, 1 square of errors
    told = "0.100 [0.080, 0.120]; at most 0.050 is allowed"
    sections = ("against", "privacy", "marginals", "densities", "all", "facts")
    places = [page.index(part) for part in ("Rejected</span>", told, *(f'id="{name}"' for name in sections))]
    assert places == sorted(places)
    assert all(m.label in page for m in figures())


@pytest.mark.parametrize("rows", [1, 3])
def test_few_rows_no_tables_and_no_verdict_are_drawn_all_the_same(rows: int) -> None:
    parsed(render(figures(), None))
    assert "Not judged" in render(figures(), None)
    parsed(render(figures(), None, train=example_table(rows), synthetic=example_table(rows, seed=1)))
    parsed(render(Measurements((), {}), None))


def test_an_evaluation_without_holdout_and_without_a_verdict_says_so() -> None:
    train, fake = example_table(240), example_table(240, seed=1)
    found = evaluate(train, None, fake, only=["fidelity.shape", "privacy.membership_auc", "fairness.group_share"])
    page = render(found, None, train=train, synthetic=fake)
    parsed(page)
    for told in ("Not judged", "no real rows held out", "no real rows to put beside it", "there is no holdout to attack"):
        assert told in page
    assert "stands in the way" not in page


def test_many_findings_keep_the_headline_figures_on_the_first_screen() -> None:
    open_rules = [finding(f"validity.rule_{i}", severity="warn" if i < 6 else "block") for i in range(20)]
    page = render(figures(), judged(*open_rules, finding("fidelity.small", "insufficient")))
    parsed(page)
    first = re.sub(r"<details.*?</details>", "", page[page.index('id="open"') : page.index('id="against"')], flags=re.S)
    assert first.count("<li") == 5
    assert "<summary>and 15 more</summary>" in page
    assert "rule_6" in first, "what blocks comes before what warns"
    assert "fidelity.small" not in first, "too few rows for a group stands in no one's way"
    assert all(f"validity.rule_{i}" in page for i in range(20))
    assert "20 broken</span>" in page
    assert "1 on too few rows</span>" in page


def test_the_limit_of_an_excess_is_drawn_beyond_the_reference() -> None:
    plain = render(figures(), judged(finding(limit=0.05)))
    over = render(figures(), judged(finding(limit=0.05, over_reference=True)))
    assert "limit 0.050" in plain
    assert "limit 0.070" in over
    assert "beyond the 0.020 of real rows" in over


def test_a_rule_that_compared_nothing_does_not_speak_of_its_interval() -> None:
    told = "could not be measured: real rows were not measured in its place"
    nothing = Finding("fidelity.shape", "inconclusive", "block", told, "Columns must look like real rows do.")
    crossing = finding(outcome="inconclusive")
    assert "The interval crosses the limit" in render(figures(), judged(crossing))
    for public in (False, True):
        page = render(figures(), judged(nothing), public=public)
        assert told in page
        assert "The interval crosses the limit" not in page
        assert "Nothing was put beside the limit" in page


def test_each_group_has_a_row_and_small_groups_are_named() -> None:
    def group(name: str, sex: str, value: float, **detail: Any) -> Measurement:
        score = Interval(value, value - 0.01, value + 0.01, 100)
        return Measurement(f"fairness.{name}", "lower", score, group={"sex": sex}, detail=detail)

    small = "insufficient: the group has 12 training rows, 30 are needed"
    found = Measurements(
        (
            group("group_share", "Female", 0.0204, share=0.35, real_share=0.3296),
            group("label_gap", "Female", 0.1, share=0.2, real_share=0.1, **{"class": "rich"}),
            group("tstr_gap", "Female", 0.05, synthetic=0.85, real=0.90, metric="AUC"),
            Measurement("fairness.group_share", "lower", status="skipped", reason=small, group={"sex": "Other"}),
        ),
        {"target": "income"},
    )
    failing = finding("fairness.label_gap[sex=Female]")
    page = render(found, judged(failing))
    parsed(page)
    section = page[page.index('id="groups"') : page.index('id="all"')]
    for told in ("sex Female", "35.0%", "33.0%", "2.0\u00a0pp", "outcome rich", "0.850", "0.900", 'class="tag fail"'):
        assert told in section
    assert "Too few rows to judge: sex Other: the group has 12 training rows" in section
    public = render(found, judged(failing), public=True)
    parsed(public)
    for kept in ("33.0%", "0.900", "rich", "12 training rows"):
        assert kept not in public


def test_a_search_is_told_on_the_private_and_on_the_exported_page() -> None:
    figure = {"value": 0.5301, "low": 0.52, "high": 0.54, "reference": 0.5}
    attempt = {"params": {"leaf": 80}, "seed": 4, "outcome": "undecided", "figures": {"privacy.membership_auc": figure}}
    search = {
        "generator": "trees",
        "policy": {"name": "small", "version": "1.0.0", "digest": "0" * 64},
        "ladder": 3,
        "rows": {"train": 2_000, "holdout": 1_000},
        "seed": 3,
        "attempts": [
            attempt | {"params": {"leaf": 5}, "outcome": "beyond", "figures": {"privacy.membership_auc": None}},
            attempt,
        ],
        "chosen": {"leaf": 80},
        "outcome": "undecided",
        "why": "few <b>rows</b>",
    }
    found = figures()
    told = Measurements(found.items, {**found.context, "search": search})
    for public in (False, True):
        page = render(told, judged(), public=public)
        parsed(page)
        section = page[page.index('id="search"') : page.index('id="facts"')]
        for words in (
            "2 attempts among 3 settings of trees",
            "0.530 [0.520, 0.540]",
            "leaf 80 <small>(chosen)</small>",
            "not kept",
        ):
            assert words in section
        assert "fitted on 2,000 and judged against 1,000" in section
        assert "<b>rows" not in section
    assert "How the setting was chosen" not in render(found, judged())


def test_hostile_names_and_values_stay_text() -> None:
    bad = "<script>alert(1)</script>\"'&"
    column = Column(bad, Kind.CATEGORICAL, categories=(bad, "b"))
    table = Table(pa.table({bad: [bad, "b"] * 20}), Schema((column,)))
    page = render(figures((bad, bad + "2")), judged(), synthetic=table, title=bad)
    parsed(page)
    assert "<script" not in page
    assert "<b>broken" not in page


@pytest.mark.parametrize("count", [40, 100])  # 40: the largest square of errors that is drawn
def test_a_hundred_columns_stay_under_a_megabyte_and_the_same(count: int) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"a_rather_long_name_of_column_{i}" for i in range(count))
    schema = Schema(tuple(Column(n, Kind.DECIMAL, decimals=3) for n in names))
    table = Table(pa.table({n: np.round(rng.normal(size=500), 3) for n in names}), schema)
    found = figures(names)
    found["fidelity.trend"].detail["pairs"][:] = [[i, j, 0.1] for i, j in combinations(range(count), 2)]
    page = render(found, judged(), train=table, synthetic=table)
    assert len(page.encode()) < 1_000_000
    assert all(name in page for name in names)
    assert page == render(found, judged(), train=table, synthetic=table)


def test_the_exported_page_names_no_value_that_only_real_rows_have() -> None:
    real = with_secret()
    fake = real.head(40)  # the legal values still list the secret; no row holds it
    private = render(figures(("city", "city2")), judged(), train=real, synthetic=fake)
    assert SECRET in private
    assert 'class="real"' in private
    public = render(figures(("city", "city2")), judged(), train=real, synthetic=fake, public=True)
    parsed(public)
    assert SECRET not in public
    assert 'class="real"' not in public
    for detail in ("Pairs by error", "Every column", "Error of every pair"):
        assert detail in private
        assert detail not in public
    assert "Cork" in public


def test_a_withheld_value_leaves_all_other_words_alone() -> None:
    """A lost group called "1" must not blank the ones of every number, as replacing text would."""
    column = Column("flag", Kind.CATEGORICAL, Role.SENSITIVE, categories=("0", "1"))
    fake = Table(pa.table({"flag": ["0"] * 40}), Schema((column,)))
    score = Interval(0.1111, 0.11, 0.112, 1111)
    found = Measurements(
        tuple(Measurement("fairness.group_share", "lower", score, group={"flag": value}) for value in ("0", "1")),
        {"rows": {"train": 1111, "synthetic": 40}},
    )
    page = render(found, judged(finding("fairness.group_share[flag=1]")), synthetic=fake, public=True)
    parsed(page)
    assert "flag=1" not in page
    assert "flag 1" not in page
    assert page.count('<th scope="row">fairness.group_share[flag=withheld 1]') == 1
    assert page.count("<strong>fairness.group_share[flag=withheld 1]") == 1
    for told in ("flag=0", "1,111", "11.1\u00a0pp", "[11.0, 11.2]"):
        assert told in page


def test_an_exported_page_gives_harmless_reasons_and_keeps_the_others() -> None:
    reasons: dict[str, tuple[Status, str]] = {
        "validity.keys": ("absent", "no column is a key"),
        "privacy.near_copies": ("skipped", "all but 7 holdout rows of a half equal a training row"),
        "fidelity.detection": ("error", f"ValueError: {SECRET}"),
    }
    found = Measurements(tuple(Measurement(n, "lower", status=s, reason=r) for n, (s, r) in reasons.items()), {})
    unmeasured = [
        Finding(name, "error", "block", f"could not be measured: {reason}", "A reason that is long enough.")
        for name, (_, reason) in reasons.items()
    ]
    needs = Finding("requires.holdout", "missing", "block", "no real rows were held out", "What the policy must see.")
    page = render(found, judged(*unmeasured, needs), public=True)
    parsed(page)
    assert "no column is a key" in page
    assert "no real rows were held out" in page
    assert "the reason is in the private report" in page
    assert SECRET not in page
    assert "all but 7" not in page
    assert SECRET in render(found, judged(*unmeasured, needs))


def test_nothing_is_loaded_it_prints_and_the_twin_holds_the_same_figures() -> None:
    page = render(figures())
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import|https?://", page), "a pattern of the page's own is all that is referred to"
    assert "@media print" in page
    twin = json.loads(to_json(figures()))
    assert len(twin["measurements"]) == len(figures())
    assert twin["verdict"] is None


def test_a_waiver_is_shown_with_who_answers_for_it_on_every_page() -> None:
    waiver = {
        "check": "fidelity.shape",
        "owner": "Olga",
        "reason": "a pilot",
        "approver": "Ada",
        "expires": "2026-04-01T00:00:00",
    }
    waived = replace(finding(), waiver=waiver)
    for public in (False, True):
        page = render(figures(), judged(waived), public=public)
        assert "waived by Ada until 2026-04-01: a pilot (Olga answers for it)" in page
    noted = replace(finding(outcome="skipped"), meaning="noted")
    assert "only noted" in render(figures(), judged(noted))
