"""The page: it parses, escapes, stays small, stays the same, and the exported one names no value that only real rows have."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from synth.data.example import example_table
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.measurement import Interval, Measurement, Measurements
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
        self.drawings = self.titled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.titled += tag == "title" and bool(self.open) and self.open[-1] == "svg"
        if tag == "svg":
            self.drawings += 1
            assert values["role"] == "img"
            assert values["aria-label"]
        self.ids.update([values["id"] or ""] if "id" in values else [])
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> _Parser:
    parser = _Parser()
    parser.feed(page)
    assert parser.open == []
    assert all(count == 1 for count in parser.ids.values())
    assert parser.links == []
    assert parser.drawings == parser.titled
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
            Measurement("utility.tstr", "higher", status="skipped", reason="no target"),
            Measurement("fidelity.detection", "lower", status="error", reason=f"ValueError: {SECRET}"),
        ),
        {"rows": {"train": 600, "holdout": None, "synthetic": 600}, "digests": {}, "target": None, "sensitive": [], "seed": 0},
    )


def judged(decision: str = "rejected") -> SimpleNamespace:
    told = SimpleNamespace(
        check="fidelity.shape", outcome="fail", severity="block", message="0.100 is above 0.050", why="<b>broken</b> columns",
        value=0.1, low=0.08, high=0.12, limit=0.05, reference=0.02, over_reference=False,
    )  # fmt: skip
    return SimpleNamespace(decision=decision, policy="research", policy_version="1", findings=(told,))


def with_secret() -> Table:
    column = Column("city", Kind.CATEGORICAL, Role.FEATURE, categories=("Cork", SECRET))
    return Table(pa.table({"city": ["Cork"] * 40 + [SECRET] * 40}), Schema((column,)))


def test_a_full_page_parses_and_says_what_failed_before_the_figures() -> None:
    table = example_table()
    page = render(figures(), judged(), train=table, synthetic=example_table(seed=1), title="Adults")
    assert parsed(page).drawings == 9  # 3 figures, 3 columns, 2 of one pair, 1 square of errors
    assert (
        page.index("Rejected")
        < page.index("0.100 is above 0.050")
        < page.index("Against real rows")
        < page.index("All figures")
    )
    assert all(m.label in page for m in figures())


@pytest.mark.parametrize("rows", [1, 3])
def test_few_rows_no_tables_and_no_verdict_are_drawn_all_the_same(rows: int) -> None:
    parsed(render(figures(), None))
    assert "Not judged" in render(figures(), None)
    parsed(render(figures(), None, train=example_table(rows), synthetic=example_table(rows, seed=1)))
    parsed(render(Measurements((), {}), None))


def test_hostile_names_and_values_stay_text() -> None:
    bad = "<script>alert(1)</script>\"'&"
    column = Column(bad, Kind.CATEGORICAL, categories=(bad, "b"))
    table = Table(pa.table({bad: [bad, "b"] * 20}), Schema((column,)))
    page = render(figures((bad, bad + "2")), judged(), synthetic=table, title=bad)
    parsed(page)
    assert "<script" not in page
    assert "<b>broken" not in page


def test_a_hundred_columns_stay_under_a_megabyte_and_the_same() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"column_{i}" for i in range(100))
    schema = Schema(tuple(Column(n, Kind.DECIMAL, decimals=3) for n in names))
    table = Table(pa.table({n: np.round(rng.normal(size=500), 3) for n in names}), schema)
    page = render(figures(names), judged(), train=table, synthetic=table)
    assert len(page.encode()) < 1_000_000
    assert all(name in page for name in names)
    assert page == render(figures(names), judged(), train=table, synthetic=table)


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
    assert "Cork" in public


def test_nothing_is_loaded_and_the_twin_holds_the_same_figures() -> None:
    page = render(figures())
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    twin = json.loads(to_json(figures()))
    assert len(twin["measurements"]) == len(figures())
    assert twin["verdict"] is None
