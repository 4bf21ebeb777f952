"""The benchmark of private methods: what it claims of its figures, what its page says, how others' rows come in."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import synth
from benchmarks import private
from benchmarks.private_claims import Claim, claims
from benchmarks.private_measures import figures, real_figures
from benchmarks.private_page import write_page
from benchmarks.private_peers import PEERS, Elsewhere, Peer
from synth.data.table import Table
from tests.declared import declared

GOOD = {"tvd3": 0.05, "group": 0.1, "fidelity.shape": [0.01, 0.0, 0.02], "fit": 5.0, "cpu": 4.0, "peak": 3e8}


def cell(method: str, epsilon: float, tvd2: float, tstr: float, seed: int = 0, **others: Any) -> dict[str, Any]:
    key = {"table": "Adult", "method": method, "epsilon": epsilon, "seed": seed}
    return {**key, **GOOD, "tvd2": tvd2, "utility.tstr": tstr, **others}


def cells() -> list[dict[str, Any]]:
    """Figures of which every claim holds."""
    return [
        cell("independent", 1.0, 0.08, 0.52),
        cell("aim", 1.0, 0.03, 0.88, **{"privacy.membership_tpr": [0.01, 0.008, 0.012]}),
        cell("aim", 3.0, 0.02, 0.89),
        cell("autoregressive", 10.0, 0.03, 0.90),
        cell("dpmm-aim", 1.0, 0.031, 0.87),
        cell("dpmm-aim", 1.0, 0.029, 0.89, seed=1),
        {"table": "Adult", "method": "opendp-aim", "epsilon": 1.0, "seed": 0, "failed": "took over 1500 s"},
    ]


def test_claims_hold_where_the_figures_say_so() -> None:
    found = claims(cells())
    assert [claim.short for claim in found] == [()] * len(found)
    assert all(claim.looked for claim in found)
    assert all(claim.line.startswith("- Holds") for claim in found)
    assert Claim("nothing", 0, ()).line.startswith("- Not measured")


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no better than independent columns": ("beats independent", cell("aim", 1.0, 0.09, 0.88)),
    "an error that does not fall": ("falls as ε grows", cell("aim", 3.0, 0.03, 0.89)),
    "more members found than allowed": (
        "members found",
        cell("aim", 1.0, 0.03, 0.88, **{"privacy.membership_tpr": [0.04, 0.035, 0.045]}),
    ),
    "models that are worth too little": ("TSTR is at least", cell("aim", 3.0, 0.02, 0.88)),
    "pairs that are too far off": ("at most .03", cell("aim", 1.0, 0.0301, 0.88)),
    "a fit that takes too long": ("at most 90 s", cell("aim", 1.0, 0.03, 0.88, cpu=91.0)),
    "a network that is worth too little": ("Shape at most 4%", cell("autoregressive", 10.0, 0.03, 0.88)),
    "columns of a network that are off": (
        "Shape at most 4%",
        cell("autoregressive", 10.0, 0.03, 0.90, **{"fidelity.shape": [0.05, 0.04, 0.06]}),
    ),
    "a peer that is better": ("never behind", cell("aim", 1.0, 0.032, 0.88)),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_claim_that_does_not_hold_is_named(fault: str) -> None:
    words, planted = WRONG[fault]
    key = [planted[part] for part in ("method", "epsilon", "seed")]
    others = [each for each in cells() if [each[part] for part in ("method", "epsilon", "seed")] != key]
    (claim,) = [claim for claim in claims([*others, planted]) if words in claim.words]
    assert claim.short
    assert claim.line.startswith("- **Falls short**")


@pytest.mark.parametrize(("errors", "behind"), [((0.026, 0.030, 0.034), False), ((0.030, 0.031, 0.034), True)])
def test_one_fit_of_a_peer_is_no_lead_where_a_fit_of_ours_reaches_it(errors: tuple[float, ...], behind: bool) -> None:
    """One fit has no spread: without that of ours, chance alone would put us behind every other time."""
    ours = [cell("aim", 1.0, tvd2, 0.88, seed=seed) for seed, tvd2 in enumerate(errors)]
    (claim,) = [claim for claim in claims([*ours, cell("opendp-aim", 1.0, 0.0285, 0.88)]) if "never behind" in claim.words]
    assert bool(claim.short) == behind


def test_the_page_shows_costs_claims_and_what_failed(tmp_path: Path) -> None:
    real = {
        "table": "Adult",
        "method": "real",
        "epsilon": 0.0,
        "seed": 0,
        **{k: GOOD[k] for k in ("tvd3", "group", "fidelity.shape")},
    }
    write_page(tmp_path, [{**real, "tvd2": 0.02, "utility.tstr": 0.92}, *cells()])
    page = (tmp_path / "private.md").read_text()
    assert "| 1 | `aim` | 1 | 0.030 | 0.050 | 0.880 | 0.100 | 1.00% | 1.0% [0.8%–1.2%] (2.7%) | 5.0 | 4.0 | 300 |" in page
    assert "took over 1500 s" in page
    assert page.count("- Holds") == len(claims(cells()))
    ElementTree.fromstring((tmp_path / "private.svg").read_text())


def test_a_peer_without_an_environment_is_refused_with_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTH_PEERS", raising=False)
    monkeypatch.setattr(sys, "argv", ["private", "Adult", "--methods", "aim,dpmm-aim"])
    with pytest.raises(SystemExit, match=r"pip install dpmm==0\.1\.9"):
        private.main()
    monkeypatch.setattr(sys, "argv", ["private", "Adult", "--methods", "aim", "--peers", "dpmm=/nowhere/python"])
    with pytest.raises(SystemExit, match="/nowhere/python"):
        private.main()


GIVES_BACK = """
from peer_job import work
work(lambda job, codes: ((lambda: None), (lambda: codes)))
"""


@pytest.fixture
def table() -> Table:
    return declared(target="grade", sensitive=["member"])


def test_rows_of_another_process_come_back_in_their_cells(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that hands back what it was given: what is lost on the way there and back would show."""
    (tmp_path / "peer_echo.py").write_text(GIVES_BACK)
    (tmp_path / "peer_job.py").write_text((private.ROOT / "benchmarks" / "peer_job.py").read_text())
    monkeypatch.setitem(PEERS, "echo", Peer("echo", "aim", str(tmp_path / "peer_echo.py"), "nothing"))
    model = Elsewhere(peer="echo", python=sys.executable, folder=str(tmp_path))
    model.fit(table, budget=synth.Budget(1.0, 1e-5), dataset="people")
    back = model.sample_table(len(table)).arrow
    for name in ("colour", "grade", "member"):
        assert back[name].to_pylist() == table.arrow[name].to_pylist()
    assert back["age"].null_count == table.arrow["age"].null_count
    assert sum(cost for _, cost in model.receipt.spent) <= model.receipt.cost.micro_rho


def test_a_peer_that_breaks_says_its_last_words(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peer_breaks.py").write_text("raise SystemExit('no such method')")
    monkeypatch.setitem(PEERS, "breaks", Peer("breaks", "aim", str(tmp_path / "peer_breaks.py"), ""))
    model = Elsewhere(peer="breaks", python=sys.executable, folder=str(tmp_path))
    with pytest.raises(RuntimeError, match="breaks: no such method"):
        model.fit(table, budget=synth.Budget(1.0, 1e-5), dataset="people")


def test_tstr_is_that_of_the_metric(table: Table) -> None:
    train, holdout = table.split(holdout=0.4, seed=0)
    wanted = synth.evaluate(train, holdout, train, only="utility.tstr")["utility.tstr"]
    assert figures(train, holdout, train, attack=False)["utility.tstr"] == wanted.score.value  # type: ignore[union-attr]
    assert real_figures(train, holdout)["utility.tstr"] == wanted.reference.value  # type: ignore[union-attr]
