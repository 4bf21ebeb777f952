"""`synth ledger`: what may be spent on each data set, what was spent, by what, and what remains."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger

Cli = Callable[..., Any]


@pytest.fixture
def ledger() -> Ledger:
    """Two data sets; half of what one may spend is spent."""
    made = Ledger()
    made.open_account("adult", Budget(1, 1e-5), by="Ada")
    made.open_account("visits", Budget(3, 1e-6, "subject", 4), by="Bo")
    made.spend("adult", 8505, what="fit marginals", by="Ada")
    made.spend("adult", 6000, what="fit [marginals] again", by="Bo")
    return made


def test_every_data_set_is_listed_with_what_is_spent_and_left(cli: Cli, ledger: Ledger) -> None:
    shown = cli("ledger")
    assert shown.code == 0
    heading, adult, visits = shown.out.splitlines()
    assert heading.split()[:2] == ["data", "set"]
    assert adult.split() == ["adult", "row", "1", "1e-05", "0.6674", "0.705", "16,051", "2"]
    assert visits.startswith("visits    subject with at most 4 rows      3  1e-06        0")


def test_spent_is_shown_rounded_up_and_left_rounded_down(cli: Cli, ledger: Ledger) -> None:
    account = ledger.account("adult")
    spent, left = (float(word) for word in cli("ledger", "adult").out.splitlines()[1].split()[4:6])
    assert account.epsilon <= spent < account.epsilon + 1e-3
    assert account.left_epsilon - 1e-3 < left <= account.left_epsilon


def test_one_data_set_shows_each_spending_by_whom_and_on_what(cli: Cli, ledger: Ledger) -> None:
    lines = cli("ledger", "adult").out.splitlines()
    opened, first, second = lines[4:]
    assert opened.split()[0] == "1"
    assert "cap: epsilon 1 at delta 1e-05 for a row" in opened
    assert first.split()[2:] == ["fit", "marginals", "Ada", "8,505", "0.5", "0.5"]
    assert second.split()[2:] == ["fit", "[marginals]", "again", "Bo", "6,000", "0.4141", "0.6674"]


def test_machines_get_all_of_it(cli: Cli, ledger: Ledger) -> None:
    told = json.loads(cli("ledger", "--json").out)
    assert told["ledger"] == str(ledger.path)
    assert [account["dataset"] for account in told["datasets"]] == ["adult", "visits"]
    (adult,) = json.loads(cli("ledger", "adult", "--json").out)["datasets"]
    assert adult == ledger.account("adult").to_dict()
    assert adult["spent"]["micro_rho"] == 14505
    assert adult["left"]["micro_rho"] == Budget(1, 1e-5).micro_rho - 14505
    assert [entry["kind"] for entry in adult["entries"]] == ["account", "spending", "spending"]


def test_a_cap_is_set_and_then_changed_with_a_reason(cli: Cli) -> None:
    assert cli("ledger", "bank", "--cap-epsilon", 1, "--cap-delta", 1e-6, "--by", "Ada").code == 0
    refused = cli("ledger", "bank", "--cap-epsilon", 2, "--by", "Ada")
    assert refused.code == 2
    assert "--reason" in refused.err
    assert Ledger().account("bank").cap == Budget(1, 1e-6)
    changed = cli("ledger", "bank", "--cap-epsilon", 2, "--by", "Bo", "--reason", "a second release")
    assert changed.code == 0
    assert "(a second release)" in changed.out
    assert Ledger().account("bank").cap == Budget(2, 1e-6)


def test_a_cap_for_subjects_says_how_many_rows_each_has(cli: Cli) -> None:
    opening = ("ledger", "visits", "--cap-epsilon", 1, "--cap-delta", 1e-6, "--by", "Ada")
    assert "declare the most rows" in cli(*opening, "--unit", "subject").err
    assert cli(*opening, "--unit", "subject", "--rows-per-subject", 3).code == 0
    assert Ledger().account("visits").cap == Budget(1, 1e-6, "subject", 3)
    assert cli("ledger", "visits", "--cap-epsilon", 2, "--by", "Ada", "--reason", "more").code == 0
    assert Ledger().account("visits").cap == Budget(2, 1e-6, "subject", 3)
    assert cli("ledger", "visits", "--unit", "row", "--by", "Ada", "--reason", "one row each").code == 0
    assert Ledger().account("visits").cap == Budget(2, 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cap-epsilon", "1"), "in somebody's name"),
        (("bank", "--cap-epsilon", "1", "--cap-delta", "1e-6"), "in somebody's name"),
        (("bank", "--cap-epsilon", "1", "--by", "Ada"), "give both --cap-epsilon and --cap-delta"),
        (("bank", "--cap-epsilon", "0", "--cap-delta", "1e-6", "--by", "Ada"), "epsilon is 0.0"),
        (("bank", "--reason", "none"), "in somebody's name"),
        (("adutl",), "did you mean 'adult'"),
        (("adult", "--cap-epsilon", "1", "--by", "Ada", "--reason", "none"), "already"),
        (("adult", "--unit", "table", "--by", "Ada"), "--help"),
    ],
)
def test_what_cannot_be_set_or_shown_is_refused_and_changes_nothing(
    cli: Cli, ledger: Ledger, arguments: tuple[str, ...], message: str
) -> None:
    before = ledger.entries()
    ended = cli("ledger", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert not ended.out
    assert ledger.entries() == before


@pytest.mark.parametrize("options", [(), ("adult",), ("--json",)])
def test_an_altered_ledger_ends_with_exit_code_4(cli: Cli, ledger: Ledger, options: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("DROP TRIGGER entries_unchanged")
        connection.execute("UPDATE entries SET line = replace(line, '8505', '1')")
        connection.commit()
    ended = cli("ledger", *options)
    assert ended.code == 4
    assert not ended.out


def test_without_a_ledger_there_is_none_and_none_is_made(cli: Cli) -> None:
    assert cli("ledger").out == f"no data set has a privacy budget in {Ledger().path}\n"
    assert json.loads(cli("ledger", "--json").out)["datasets"] == []
    assert cli("ledger", "adult").code == 2
    assert not Ledger().path.exists()
