"""A spending is written before the data is touched, never past the cap, and stays; whoever alters the file is found out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from synth.errors import BudgetError, DataError, InputError, VerificationError
from synth.privacy import ledger as module
from synth.privacy.accounting import ATTO, ORDERS, Curve, dpsgd_curve, zcdp_epsilon
from synth.privacy.accounts import Entry
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger

HERE = Path(__file__).resolve()
CAP = Budget(1, 1e-5)  # buys 30,556 micro-ρ
FIT = {"what": "fit marginals", "by": "Ada"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """With an account for `adult` of which nothing is spent."""
    made = Ledger(tmp_path / "ledger.sqlite")
    made.open_account("adult", CAP, by="Ada")
    return made


@contextmanager
def spender(how: str, ledger: Ledger, cost: int, *rest: object) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that spends, and is killed in the end if it still runs."""
    arguments = [sys.executable, str(HERE.with_name("spender.py")), how, str(ledger.path), str(cost), *map(str, rest)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2])}
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# the cap ---------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "spends a privacy budget in twenty processes at once", "never over the cap: whoever spends holds the only lock"
)
def test_twenty_parallel_spenders_never_pass_the_cap_and_leave_nothing_unspent(ledger: Ledger) -> None:
    cost = CAP.micro_rho // 47  # 60 are asked for, 47 fit
    with ExitStack() as running:
        processes = [running.enter_context(spender("until refused", ledger, cost, 3)) for _ in range(20)]
        assert {said(process) for process in processes} == {"ready"}
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        allowed = [int(said(process)) for process in processes]
    account = ledger.account("adult")
    assert sum(allowed) == len(account.entries) - 1 == 47
    assert account.spent == Curve(47 * cost)
    assert account.epsilon <= CAP.epsilon < account.after(Curve(cost))


def test_exactly_the_cap_can_be_spent_and_not_one_more(ledger: Ledger) -> None:
    with pytest.raises(BudgetError, match="30,556 micro-ρ are left, one release of epsilon 1:"):
        ledger.spend("adult", CAP.micro_rho + 1, **FIT)
    ledger.spend("adult", CAP.micro_rho, **FIT)
    with pytest.raises(BudgetError, match="nothing is left"):
        ledger.spend("adult", 1, **FIT)
    account = ledger.account("adult")
    assert (account.spent, account.left_micro_rho, account.left_epsilon) == (Curve(CAP.micro_rho), 0, 0)


def test_what_is_said_to_be_left_can_be_asked_for(ledger: Ledger) -> None:
    ledger.spend("adult", Budget(0.7, 1e-5).micro_rho, **FIT)
    account = ledger.account("adult")
    assert CAP.epsilon - account.epsilon < account.left_epsilon < CAP.epsilon
    asked = Budget(account.left_epsilon, 1e-5).micro_rho
    assert asked == account.left_micro_rho
    ledger.spend("adult", asked, **FIT)
    assert ledger.account("adult").left_micro_rho == 0


def test_a_refusal_says_what_it_would_come_to_what_is_left_and_what_to_do(ledger: Ledger) -> None:
    ledger.spend("adult", 8505, **FIT)
    with pytest.raises(BudgetError) as refused:
        ledger.spend("adult", 30000, **FIT)
    message = str(refused.value)
    assert (
        "would bring 'adult' to epsilon 1.135, past its cap of epsilon 1 at delta 1e-05 for a row; nothing was read" in message
    )
    assert "22,051 micro-ρ are left" in message
    assert "synth ledger adult --cap-epsilon E" in message
    assert message.count("\n") == 2


def test_marginals_and_dpsgd_share_one_cap(ledger: Ledger) -> None:
    dp_accounting = pytest.importorskip("dp_accounting", reason="DP-SGD is accounted with the extra dp")
    ledger.spend("adult", 8505, **FIT)
    ledger.spend("adult", dpsgd_curve(2.0, 0.01, 500), what="fit autoregressive", by="Bo")
    ledger.spend("adult", 4000, what="report", by="Bo")
    account = ledger.account("adult")
    accountant = dp_accounting.rdp.RdpAccountant(ORDERS)
    accountant.compose(dp_accounting.ZCDpEvent(0.012505))
    accountant.compose(dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(2.0)), 500)
    exact = accountant.get_epsilon(1e-5)
    assert exact <= account.epsilon <= exact * (1 + 1e-6)
    assert account.after(Curve(account.left_micro_rho)) <= 1 < account.after(Curve(account.left_micro_rho + 1))
    with pytest.raises(BudgetError):
        ledger.spend("adult", dpsgd_curve(1.0, 0.01, 500), what="fit diffusion", by="Bo")
    assert len(ledger.account("adult").entries) == 4


def test_what_a_threshold_fails_with_comes_off_the_caps_delta(ledger: Ledger) -> None:
    ledger.spend("adult", Curve(1000, atto_delta=ATTO * 6 // 10**6), what="categories", by="Ada")
    account = ledger.account("adult")
    assert account.epsilon == pytest.approx(zcdp_epsilon(0.001, 4e-6))
    assert account.left_micro_rho + 1000 == Budget(1, 4e-6).micro_rho
    with pytest.raises(BudgetError, match="infinite"):
        ledger.spend("adult", Curve(1000, atto_delta=ATTO * 6 // 10**6), what="categories", by="Ada")


def test_each_data_set_has_its_own(ledger: Ledger) -> None:
    ledger.open_account("bank", Budget(3, 1e-6), by="Bo")
    ledger.spend("bank", 30000, **FIT)
    assert ledger.account("adult").spent == Curve()
    assert [account.dataset for account in ledger.accounts()] == ["adult", "bank"]
    assert [entry.number for entry in ledger.account("bank").entries] == [2, 3]


def test_a_changed_cap_stays_on_record_with_who_and_why(ledger: Ledger) -> None:
    ledger.spend("adult", CAP.micro_rho, **FIT)
    ledger.change_cap("adult", Budget(2, 1e-5), by="Bo", reason="a second release was agreed on")
    account = ledger.account("adult")
    assert account.cap == Budget(2, 1e-5)
    assert account.entries[-1].facts == {
        "cap": {"epsilon": 2, "delta": 1e-5, "unit": "row", "rows_per_subject": None},
        "by": "Bo",
        "reason": "a second release was agreed on",
    }
    assert account.spent == Curve(CAP.micro_rho)
    assert account.left_micro_rho == Budget(2, 1e-5).micro_rho - CAP.micro_rho


def test_a_cap_below_what_is_spent_leaves_nothing(ledger: Ledger) -> None:
    ledger.spend("adult", 20000, **FIT)
    ledger.change_cap("adult", Budget(0.5, 1e-5), by="Bo", reason="it was meant to be .5")
    assert ledger.account("adult").left_micro_rho == 0
    with pytest.raises(BudgetError, match="nothing is left"):
        ledger.spend("adult", 1, **FIT)


def test_a_cap_is_set_once(ledger: Ledger) -> None:
    for name in ("adult", "Adult"):
        with pytest.raises(InputError, match="'adult' has an account, with a cap of epsilon 1"):
            ledger.open_account(name, Budget(5, 1e-5), by="Bo")
    with pytest.raises(InputError, match="already"):
        ledger.change_cap("adult", CAP, by="Bo", reason="none")
    assert len(ledger.entries()) == 1


def test_a_data_set_without_an_account_has_nothing_to_spend(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="did you mean 'adult'"):
        ledger.spend("adutl", 1, **FIT)
    with pytest.raises(InputError, match="no account"):
        Ledger(ledger.path.with_name("other.sqlite")).spend("adult", 1, **FIT)


# the unit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "spent", "hidden"),
    [
        ((), {}, True),
        ((), {"unit": "subject", "rows_per_subject": 2}, True),
        (("subject", 4), {"unit": "subject", "rows_per_subject": 4}, True),
        (("subject", 4), {"unit": "subject", "rows_per_subject": 9}, True),
        (("subject", 4), {"unit": "subject", "rows_per_subject": 3}, False),
        (("subject", 4), {}, False),
    ],
)
def test_noise_has_to_hide_what_the_cap_protects(
    tmp_path: Path, cap: tuple[Any, ...], spent: dict[str, Any], hidden: bool
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.open_account("visits", Budget(1, 1e-5, *cap), by="Ada")
    if hidden:
        ledger.spend("visits", 1, **FIT, **spent)
    else:
        with pytest.raises(BudgetError, match="nothing was read"):
            ledger.spend("visits", 1, **FIT, **spent)
    assert ledger.account("visits").spent == Curve(int(hidden))


def test_the_unit_can_change_only_before_something_is_spent(ledger: Ledger) -> None:
    ledger.change_cap("adult", Budget(1, 1e-5, "subject", 2), by="Ada", reason="people come twice")
    ledger.spend("adult", 1, **FIT, unit="subject", rows_per_subject=2)
    for unit in ((), ("subject", 5), ("subject", 1)):
        with pytest.raises(InputError, match="cannot become"):
            ledger.change_cap("adult", Budget(1, 1e-5, *unit), by="Ada", reason="they come more often")


# dying -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "kills a fit to look at the data without paying, or to pay and try again for nothing",
    "what was written before the data was touched stays spent",
)
@pytest.mark.parametrize(("moment", "touched", "written"), [("unwritten", False, 0), ("before", False, 1), ("after", True, 1)])
def test_a_killed_process_has_spent_what_it_wrote(ledger: Ledger, moment: str, touched: bool, written: int) -> None:
    data = ledger.path.with_name("data.csv")
    data.write_text("rows ")
    with spender(moment, ledger, 10_000, data) as process:
        assert said(process) == "here"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert (data.read_text() == "rows touched") is touched
    assert ledger.account("adult").spent == Curve(written * 10_000)
    for again in range(written + 1, 4):  # each further try pays again, until nothing is left
        ledger.spend("adult", 10_000, what="the same fit again", by="Ada")
        assert ledger.account("adult").spent == Curve(again * 10_000)
    with pytest.raises(BudgetError):
        ledger.spend("adult", 10_000, what="the same fit again", by="Ada")


def test_whenever_a_process_is_killed_all_that_it_was_told_is_written(ledger: Ledger) -> None:
    rng, before = random.Random(0), 1
    for _ in range(6):
        with spender("for ever", ledger, 1) as process:
            told = [int(said(process))]
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert process.stdout is not None
            told += [int(line) for line in process.stdout.read().splitlines() if line]
        assert told == list(range(before + 1, before + 1 + len(told)))
        there = len(ledger.entries())
        assert there - told[-1] in (0, 1)  # the last one may have been on the disk before it could be told
        assert ledger.account("adult").spent == Curve(there - 1)
        before = there


def test_spenders_that_are_killed_and_try_again_never_pass_the_cap(ledger: Ledger) -> None:
    cost = CAP.micro_rho // 47
    for _ in range(2):
        with ExitStack() as running:
            processes = [running.enter_context(spender("for ever", ledger, cost)) for _ in range(3)]
            for process in processes:
                said(process)  # a spending of its own, or nothing where the cap is reached
                process.send_signal(signal.SIGKILL)
    with spender("until refused", ledger, cost, 60) as process:
        assert said(process) == "ready"
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        said(process)
    account = ledger.account("adult")
    assert account.spent == Curve(47 * cost)
    assert account.epsilon <= CAP.epsilon < account.after(Curve(cost))


def test_whoever_waits_too_long_for_the_lock_is_told_so(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match=r"locked; nothing was read; let the others"):
            ledger.spend("adult", 1, **FIT)
        other.execute("ROLLBACK")
    ledger.spend("adult", 1, **FIT)


def test_what_fails_while_it_is_written_is_not_written(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    append = module._Book.append

    def interrupted(*arguments: Any) -> None:
        append(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Book, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.spend("adult", 1, **FIT)
    monkeypatch.undo()
    assert len(ledger.entries()) == 1
    ledger.spend("adult", 1, **FIT)


# altering --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """Five entries: an account and four spendings."""
    for cost in (1000, 2000, 3000, 4000):
        ledger.spend("adult", cost, **FIT)
    return ledger


@pytest.mark.attack("edits, deletes or inserts entries of the privacy ledger", "refused by the file itself: it only grows")
@pytest.mark.parametrize("table", ["entries", "heads"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET number = number",
        "DELETE FROM {} WHERE number = 5",
        "INSERT OR REPLACE INTO {} VALUES (3, 'x')",
        "INSERT INTO {} VALUES (7, 'x')",
        "INSERT INTO {} VALUES (0, 'x')",
    ],
)
def test_the_tables_only_grow(spent: Ledger, table: str, statement: str) -> None:
    with closing(sqlite3.connect(spent.path)) as connection, pytest.raises(sqlite3.IntegrityError, match="only grows"):
        connection.execute(statement.format(table))
    assert len(spent.entries()) == 5


def past_the_triggers(path: Path, *statements: str) -> None:
    """Change the tables, with the triggers taken away and put back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)


LESS = """SET line = replace(line, '"micro_rho":4000', '"micro_rho":4')"""


@pytest.mark.attack(
    "edits, removes, moves or forges entries of the privacy ledger past its triggers",
    "noticed at once by the chain; nothing is spent until it is restored",
)
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ((f"UPDATE entries {LESS}",), "entry 5 of .* is not the one that its head names"),
        (("UPDATE entries SET line = replace(line, '2000', '2')",), "entry 3 of .* is not the one that its head names"),
        (("UPDATE entries SET line = line || ' ' WHERE number = 3",), "entry 3 of .* does not follow"),
        (("UPDATE entries SET line = x'00' WHERE number = 2",), "entry 2 of .* does not follow"),
        (("UPDATE heads SET digest = 'ab' WHERE number = 2",), "entry 2 of .* is not the one that its head names"),
        (("DELETE FROM entries WHERE number = 3", "DELETE FROM heads WHERE number = 3"), "entry 3 of .* does not follow"),
        (("DELETE FROM entries WHERE number = 5",), "4 entries and 5 heads"),
        (("DELETE FROM heads WHERE number > 3",), "5 entries and 3 heads"),
        (("DELETE FROM entries",), "0 entries and 5 heads"),
        (
            ("UPDATE entries SET number = -number", "UPDATE entries SET number = 6 + number WHERE number < -1"),
            "entry 1 of .* does not follow",
        ),
        (("INSERT INTO entries SELECT 6, line FROM entries WHERE number = 5",), "entry 6 of .* does not follow"),
        (("CREATE TABLE notes (said TEXT)",), "notes was changed, added or removed"),
    ],
)
def test_what_is_done_past_the_triggers_is_noticed(spent: Ledger, statements: tuple[str, ...], message: str) -> None:
    past_the_triggers(spent.path, *statements)
    asked: list[Callable[[], Any]] = [
        spent.entries,
        lambda: spent.account("adult"),
        lambda: spent.spend("adult", 1, **FIT),
        lambda: spent.open_account("bank", CAP, by="Ada"),
    ]
    for ask in asked:
        with pytest.raises(VerificationError, match=message) as noticed:
            ask()
        assert "nothing can be spent until then" in str(noticed.value)


@pytest.mark.attack("drops the triggers or a table of the privacy ledger", "noticed; nothing is spent until it is restored")
@pytest.mark.parametrize("gone", [("TRIGGER entries_kept",), ("TABLE heads",), ("TABLE heads", "TABLE entries")])
def test_a_trigger_or_table_that_is_gone_is_noticed(spent: Ledger, gone: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(spent.path)) as connection:
        for one in gone:
            connection.execute(f"DROP {one}")
    with pytest.raises(VerificationError, match=f"{gone[-1].split()[1]}, .*was changed|{gone[-1].split()[1]} was changed"):
        spent.spend("adult", 1, **FIT)


@pytest.mark.attack(
    "flips a bit of the privacy ledger on the disk", "noticed in any entry; elsewhere nothing that is read changes"
)
def test_any_flipped_bit_of_an_entry_is_noticed_and_none_elsewhere_changes_what_is_read(spent: Ledger) -> None:
    content, entries, rng = spent.path.read_bytes(), spent.entries(), random.Random(0)
    begin = content.index(entries[-1].line.encode())
    end = begin + len(entries[-1].line.encode())
    places = [rng.randrange(begin, end) for _ in range(30)] + [rng.randrange(len(content)) for _ in range(60)]
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1 << rng.randrange(8)
        spent.path.write_bytes(altered)
        try:
            assert spent.entries() == entries
            assert not begin <= place < end
        except VerificationError:
            pass
    spent.path.write_bytes(content)
    assert spent.entries() == entries


def edited_with_its_head(ledger: Ledger, number: int, old: str, new: str) -> None:
    line = ledger.entries()[number - 1].line.replace(old, new)
    edited = Entry.of_line(line)
    assert edited is not None
    past_the_triggers(
        ledger.path,
        f"UPDATE entries SET line = '{line}' WHERE number = {number}",
        f"UPDATE heads SET digest = '{edited.digest}' WHERE number = {number}",
    )


@pytest.mark.attack(
    "edits an entry of the privacy ledger and computes its head anew", "noticed by the next entry, which names the old one"
)
def test_an_edit_whose_head_was_computed_anew_is_noticed_by_the_next_entry(spent: Ledger) -> None:
    edited_with_its_head(spent, 3, "2000", "2")
    with pytest.raises(VerificationError, match=r"entry 4 of .* does not follow"):
        spent.spend("adult", 1, **FIT)


@pytest.mark.attack(
    "edits the last entry of the privacy ledger with its head", "the digest in every model and export of it is no longer known"
)
def test_an_edit_of_the_last_entry_and_its_head_is_known_only_by_who_kept_its_digest(spent: Ledger) -> None:
    last = spent.entries()[-1]
    edited_with_its_head(spent, 5, "4000", "4")
    assert spent.account("adult").spent == Curve(6004)
    assert not spent.knows(last.number, last.digest)


@pytest.mark.attack(
    "cuts the end off the privacy ledger, head and entry", "the digest in every model and export of it is no longer known"
)
def test_an_end_cut_off_both_tables_is_known_only_by_who_kept_its_digest(spent: Ledger) -> None:
    """What one file cannot show by itself, as the module says."""
    last, before = spent.entries()[-1], spent.entries()[-2]
    assert spent.knows(last.number, last.digest)
    past_the_triggers(spent.path, "DELETE FROM entries WHERE number = 5", "DELETE FROM heads WHERE number = 5")
    assert spent.account("adult").spent == Curve(6000)
    assert not spent.knows(last.number, last.digest)
    assert spent.knows(before.number, before.digest)
    spent.spend("adult", 1, **FIT)
    assert not spent.knows(last.number, last.digest)


@pytest.mark.attack(
    "puts an older copy of the privacy ledger back, or deletes it",
    "the digest in every model and export since is no longer known",
)
def test_an_older_copy_or_no_file_is_known_by_who_kept_a_digest(spent: Ledger) -> None:
    older = spent.path.with_name("older.sqlite")
    shutil.copy(spent.path, older)
    entry = spent.spend("adult", 5000, **FIT)
    assert spent.knows(entry.number, entry.digest)
    shutil.copy(older, spent.path)
    assert not spent.knows(entry.number, entry.digest)
    spent.path.unlink()
    assert not spent.knows(entry.number, entry.digest)
    with pytest.raises(InputError, match="no account"):
        spent.spend("adult", 1, **FIT)


# the file --------------------------------------------------------------------------------------------------------------


def test_it_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "home"))
    assert Ledger().path == tmp_path / "home" / "ledger.sqlite"
    monkeypatch.setenv("SYNTH_LEDGER", str(tmp_path / "elsewhere" / "we?ird #1.sqlite"))
    Ledger().open_account("adult", CAP, by="Ada")
    assert len(Ledger(tmp_path / "elsewhere" / "we?ird #1.sqlite").entries()) == 1


def test_others_cannot_read_it(ledger: Ledger) -> None:
    ledger.spend("adult", 1, **FIT)
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def test_looking_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "none" / "ledger.sqlite")
    assert ledger.accounts() == ()
    assert not ledger.knows(1, "ab")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_made_and_never_written_to_is_empty(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.path.touch()
    assert ledger.entries() == ()
    ledger.open_account("adult", CAP, by="Ada")
    assert len(ledger.entries()) == 1


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.path.write_text(
        "not a database, but as long as a header of one is: a hundred bytes or more, so that it is looked at\n"
    )
    with pytest.raises(VerificationError, match="is no ledger, or was damaged"):
        ledger.accounts()
    with pytest.raises(DataError, match="cannot use the ledger"):
        Ledger(tmp_path).accounts()


def test_a_ledger_of_a_newer_synth_is_left_alone(ledger: Ledger) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="a newer synth"):
        ledger.spend("adult", 1, **FIT)


@pytest.mark.parametrize("name", ["", "a b", "../adult", ".adult", "a" * 101, "é", None, 3])
def test_a_data_set_has_a_plain_name(ledger: Ledger, name: Any) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        ledger.open_account(name, CAP, by="Ada")


@pytest.mark.parametrize("words", ["", "  ", "two\nlines", None])
def test_who_and_what_are_said_in_words(ledger: Ledger, words: Any) -> None:
    for given in ({"what": words, "by": "Ada"}, {"what": "fit", "by": words}):
        with pytest.raises(InputError, match="say it in words"):
            ledger.spend("adult", 1, **given)
    with pytest.raises(InputError, match="say it in words"):
        ledger.change_cap("adult", Budget(2, 1e-5), by="Ada", reason=words)
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize("cost", [0, -1, 1.0, True, Curve()])
def test_a_cost_is_a_whole_number_from_one(ledger: Ledger, cost: Any) -> None:
    with pytest.raises(InputError):
        ledger.spend("adult", cost, **FIT)
    assert len(ledger.entries()) == 1
