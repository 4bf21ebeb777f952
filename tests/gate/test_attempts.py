"""The log of attempts: what it counts, what was done to it, and what a crash leaves of it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import synth
from synth.approving import approve, export
from synth.data.sketch import sketch
from synth.errors import DataError, InputError, VerificationError
from synth.gate import attempts as module
from synth.gate.attempts import SKETCH, START, AttemptLog, Entry, Logged, attempts_on
from synth.gate.keys import PrivateKey, default_key
from synth.gate.policy import Policy
from synth.gate.terms import now
from synth.metrics.evaluation import evaluate
from synth.report.page import render
from synth.report.twin import to_json

ROWS = [f"{number:016x}" for number in range(256)]
OTHERS = [f"{number:016x}" for number in range(1_000, 1_256)]


def tried(
    log: AttemptLog, measurements: str = "1", *, data: list[str] | None = None, decision: str | None = "rejected", **kw: str
) -> Logged:
    """An attempt, and what came of it."""
    given = {"policy": "strict", "policy_version": "1.0.0", "policy_digest": "aa", "synthetic": "bb", **kw}
    with log.attempt(data=ROWS if data is None else data, measurements=measurements, **given) as attempt:
        if decision is not None:
            attempt.decided(decision)
    return attempt


@pytest.fixture
def log() -> AttemptLog:
    """Three attempts with their decisions: six lines."""
    made = AttemptLog.of_machine()
    for name in "123":
        tried(made, name)
    assert made.check() == 6
    return made


def lines(log: AttemptLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def refused(log: AttemptLog) -> str:
    """What is said of a log by who reads it, checks it and writes to it; nobody gets past."""
    said = []
    for use in (log.check, log.entries, lambda: log.knows("0" * 64, 1), lambda: tried(log, "next")):
        before = log.path.read_bytes() if log.path.exists() else None
        with pytest.raises(VerificationError) as caught:
            use()
        assert (log.path.read_bytes() if log.path.exists() else None) == before, "what was altered is left as it is"
        said.append(str(caught.value))
    assert all(len(words.splitlines()) <= 3 for words in said)
    return said[0]


def people(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n)
    return pd.DataFrame(
        {"age": age, "pay": np.round(age * 10 + rng.normal(0, 50, n), 2), "town": rng.choice(["Bonn", "Celle"], n)}
    )


def judged(
    log: AttemptLog, frame: pd.DataFrame, *, split: int = 0, fit: int = 0, policy: str = "strict", digest: str = "aa"
) -> Logged:
    """The whole way from real rows to an attempt."""
    train, holdout = synth.read(frame).split(0.3, seed=split)
    fake = synth.Independent().fit(train, seed=fit).sample_table(100, seed=fit)
    measured = evaluate(train, holdout, fake, only="fidelity.shape")
    return tried(
        log, measured.digest(), data=measured.context[SKETCH], policy=policy, policy_digest=digest, synthetic=fake.digest()
    )


# what counts -----------------------------------------------------------------------------------------------------------


def test_attempts_count_by_data_and_policy() -> None:
    log = AttemptLog.of_machine()
    assert [(a.number, a.total) for a in (tried(log, "1"), tried(log, "2"))] == [(1, 1), (2, 2)]
    assert (tried(log, "3", policy="loose").number, tried(log, "4", policy="loose").total) == (1, 4)
    other = tried(log, "5", data=OTHERS)
    assert (other.number, other.total) == (1, 1)
    assert [e.facts["number"] for e in attempts_on(log.entries(), ROWS)] == [1, 2, 1, 2]
    assert len(attempts_on(log.entries(), OTHERS)) == 1
    assert log.check() == 10


def test_the_same_figures_under_the_same_rules_are_the_same_attempt(log: AttemptLog) -> None:
    before = log.path.read_bytes()
    again = tried(log, "2")
    assert (again.number, again.total) == (2, 2)
    assert log.path.read_bytes() == before  # the same decision is not logged again
    assert tried(log, "2", decision="approved").entry == again.entry
    assert [e.facts["decision"] for e in log.entries() if e.facts.get("attempt") == again.entry] == ["rejected", "approved"]


def test_an_attempt_that_fails_midway_still_counts() -> None:
    log = AttemptLog.of_machine()
    with (
        pytest.raises(ZeroDivisionError),
        log.attempt(data=ROWS, policy="strict", policy_version="1.0.0", policy_digest="aa", measurements="1", synthetic="bb"),
    ):
        raise ZeroDivisionError
    assert [e.kind for e in log.entries()] == ["attempt"]
    assert tried(log, "2").number == 2


def test_what_else_befell_an_attempt_can_be_noted(log: AttemptLog) -> None:
    entry = tried(log, "1").entry
    noted = log.note("approval", entry, keyid="ab", signers=2)
    assert log.entries()[-1] == noted
    assert noted.facts == {"attempt": entry, "keyid": "ab", "signers": 2}
    assert log.check() == 7
    with pytest.raises(VerificationError, match="no attempt 0000"):
        log.note("approval", "0" * 64)
    for kind in ("attempt", "decision", ""):
        with pytest.raises(InputError, match="written by the log itself"):
            log.note(kind, entry)
    with pytest.raises(InputError, match="not JSON"):
        log.note("waiver", entry, until=now())
    assert log.check() == 7


def test_a_line_names_its_rows_once_and_tells_them_to_nobody(log: AttemptLog) -> None:
    assert [("sketch" in e.facts) for e in log.entries() if e.kind == "attempt"] == [True, False, False]
    assert ROWS[5] not in json.dumps([entry.to_dict() for entry in log.entries()])
    assert log.path.stat().st_mode & 0o077 == 0  # nor to another user of the machine


def test_figures_that_name_no_rows_are_no_attempt() -> None:
    log = AttemptLog.of_machine()
    for data in ([], ["rows"], None):
        with pytest.raises(InputError, match="synth evaluate"):
            log.attempt(
                data=data,
                policy="p",
                policy_version="1.0.0",
                policy_digest="aa",
                measurements="1",
                synthetic="bb",  # type: ignore[arg-type]
            ).__enter__()
    assert log.entries() == ()
    assert not log.path.parent.joinpath("attempts.lock").exists()


def test_a_run_is_known_by_its_attempt(log: AttemptLog) -> None:
    attempt = tried(log, "3")
    assert log.knows(attempt.entry, 3)
    assert not log.knows(attempt.entry, 2)
    assert not log.knows(log.entries()[1].digest, 1)  # a decision is no attempt
    assert not AttemptLog(log.path.parent / "elsewhere").knows(attempt.entry, 3)


# re-rolling ------------------------------------------------------------------------------------------------------------


@pytest.mark.attack("rejected rows are made again from another split of the same real rows", "counts as the next attempt")
def test_another_split_does_not_start_again() -> None:
    log = AttemptLog.of_machine()
    assert [judged(log, people(400), split=seed).number for seed in range(3)] == [1, 2, 3]


@pytest.mark.attack("rejected rows are made again with another seed of the generator", "counts as the next attempt")
def test_another_generator_seed_does_not_start_again() -> None:
    log = AttemptLog.of_machine()
    assert [judged(log, people(400), fit=seed).number for seed in range(3)] == [1, 2, 3]


@pytest.mark.attack("a tenth of the real rows is left out so that the data looks new", "counts as the next attempt")
def test_dropped_rows_do_not_start_again() -> None:
    log, frame = AttemptLog.of_machine(), people(400)
    assert judged(log, frame).number == 1
    assert judged(log, frame.sample(frac=0.9, random_state=1)).number == 2
    assert judged(log, frame.sample(frac=0.9, random_state=2)).number == 3
    assert judged(log, people(400, seed=1)).number == 1  # other people


@pytest.mark.attack("the real rows are shuffled, their columns put in another order", "counts as the next attempt")
def test_another_order_does_not_start_again() -> None:
    log, frame = AttemptLog.of_machine(), people(400)
    assert judged(log, frame).number == 1
    assert judged(log, frame.sample(frac=1, random_state=1)[["town", "pay", "age"]]).number == 2


@pytest.mark.attack("the policy is edited after a rejection and keeps its name", "counts as the next attempt")
def test_an_edited_policy_of_the_same_name_does_not_start_again() -> None:
    log = AttemptLog.of_machine()
    assert judged(log, people(400), digest="aa").number == 1
    assert judged(log, people(400), digest="bb").number == 2


@pytest.mark.attack("the policy is edited after a rejection and given a new name", "the attempts on the data in all are stated")
def test_a_policy_of_another_name_leaves_the_total() -> None:
    log = AttemptLog.of_machine()
    judged(log, people(400), policy="strict", digest="aa")
    again = judged(log, people(400), policy="kind", digest="bb")
    assert (again.number, again.total) == (1, 2)


# the log is altered ----------------------------------------------------------------------------------------------------


@pytest.mark.attack("a line of the attempt log is edited", "the log is refused, and so is any further judgement")
@pytest.mark.parametrize("at", range(6))
def test_an_edited_line_is_found(log: AttemptLog, at: int) -> None:
    all_lines = lines(log)
    changed = all_lines[at].replace(b'"policy":"strict"', b'"policy":"other!"').replace(b'"rejected"', b'"approved"')
    assert changed != all_lines[at]
    all_lines[at] = changed
    log.path.write_bytes(b"".join(all_lines))
    assert f"line {at + 1} of" in refused(log)


@pytest.mark.attack("any one bit of the attempt log is flipped", "the log is refused")
def test_any_flipped_bit_is_found(log: AttemptLog) -> None:
    sound = log.path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(sound), 300).tolist():
        log.path.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << place % 8)]) + sound[place + 1 :])
        with pytest.raises(VerificationError):
            log.check()
        with pytest.raises(VerificationError):
            log.entries()


@pytest.mark.attack("a line in the middle of the attempt log is deleted", "the log is refused")
@pytest.mark.parametrize("at", range(5))
def test_a_deleted_line_is_found(log: AttemptLog, at: int) -> None:
    log.path.write_bytes(b"".join(line for number, line in enumerate(lines(log)) if number != at))
    assert f"line {at + 1} of" in refused(log)


@pytest.mark.attack(
    "the failed attempt at the end of the log is deleted", "the log is shorter than its signed head says: refused"
)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_deleted_end_is_found(log: AttemptLog, cut: int) -> None:
    log.path.write_bytes(b"".join(lines(log)[:-cut]))
    assert f"has {6 - cut} lines where its head counts 6" in refused(log)


@pytest.mark.attack("half of the last line of the attempt log is cut off, as if by a crash", "the head counts it: refused")
def test_half_a_deleted_line_is_no_crash(log: AttemptLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-100])
    assert "has 5 lines where its head counts 6" in refused(log)


@pytest.mark.attack("the attempt log is emptied or deleted, its head left", "refused")
@pytest.mark.parametrize("delete", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["deleted", "emptied"])
def test_a_deleted_log_is_found(log: AttemptLog, delete: Callable[[Path], Any]) -> None:
    delete(log.path)
    assert "has 0 lines where its head counts 6: all were removed" in refused(log)


@pytest.mark.attack("the head of the attempt log is deleted and its end cut off", "a log without a head is refused")
@pytest.mark.parametrize("left", [1, 6])
def test_a_deleted_head_is_found(log: AttemptLog, left: int) -> None:
    log.head_path.unlink()
    log.path.write_bytes(b"".join(lines(log)[:left]))
    assert "its head attempts.head.json is gone" in refused(log)


@pytest.mark.attack("the head of the attempt log is rewritten to count fewer lines", "it has to be signed: refused")
@pytest.mark.parametrize("change", [{"count": 4}, {"last": START}, {"signature": "00" * 64}, {"signature": ""}, {"note": 1}])
def test_an_edited_head_is_found(log: AttemptLog, change: dict[str, Any]) -> None:
    log.head_path.write_text(json.dumps(json.loads(log.head_path.read_text()) | change))
    assert "is not what this machine's key signed" in refused(log)


@pytest.mark.attack("an older head is put back beside the attempt log", "more than a crash leaves: refused")
def test_a_head_two_lines_behind_is_no_crash() -> None:
    log = AttemptLog.of_machine()
    tried(log, "1")
    older = log.head_path.read_bytes()
    tried(log, "2")
    log.head_path.write_bytes(older)
    assert "has 4 lines where its head counts 2: an older head was put back" in refused(log)


@pytest.mark.attack("the attempt log and its head are deleted together", "the run's own record is not in the log: found")
def test_a_log_gone_with_its_head_does_not_know_the_run(log: AttemptLog) -> None:
    attempt = tried(log, "3")
    log.path.unlink()
    log.head_path.unlink()
    assert not log.knows(attempt.entry, attempt.number)
    with pytest.raises(VerificationError, match="no attempt"):
        attempt.decided("approved")


@pytest.mark.attack(
    "older copies of the attempt log and its head are put back", "the run's own record is not in the log: found"
)
def test_an_older_log_with_its_head_does_not_know_the_run(log: AttemptLog, tmp_path: Path) -> None:
    for file in (log.path, log.head_path):
        shutil.copy(file, tmp_path)
    lost = tried(log, "4")
    for file in (log.path, log.head_path):
        shutil.copy(tmp_path / file.name, file)
    again = tried(log, "5")  # takes the number of the one that was lost
    assert again.number == lost.number == 4
    assert log.knows(again.entry, 4)
    assert not log.knows(lost.entry, 4)


@pytest.mark.attack("lines of the attempt log change places", "the log is refused")
def test_lines_in_another_order_are_found(log: AttemptLog) -> None:
    first, second, *rest = lines(log)
    log.path.write_bytes(b"".join([second, first, *rest]))
    assert "line 1 of" in refused(log)
    assert "does not follow the line before it" in refused(log)


def forged(key: PrivateKey, log: AttemptLog) -> None:
    """The same log with friendlier facts, all chained and signed anew, and the head as well."""
    previous, made = START, []
    for entry in log.entries():
        facts = {**entry.facts, "decision": "approved"} if entry.kind == "decision" else entry.facts
        bare = Entry(entry.line, entry.at, entry.kind, previous, facts)
        made.append(Entry(entry.line, entry.at, entry.kind, previous, facts, key.sign(bare.message).hex()))
        previous = made[-1].digest
    log.path.write_bytes(b"".join(entry.to_bytes() + b"\n" for entry in made))
    head = module.Head(len(made), previous)
    document = {"count": head.count, "last": head.last, "signature": key.sign(head.message).hex()}
    log.head_path.write_text(json.dumps(document))


@pytest.mark.attack("the whole attempt log is written anew and signed with another key", "refused")
def test_a_log_of_another_key_is_found(log: AttemptLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = default_key()
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "eve"))
    forged(default_key(), AttemptLog(log.path.parent, key=own))
    assert "is not what this machine's key signed" in refused(AttemptLog(log.path.parent, key=own))


@pytest.mark.attack("whoever holds the key writes the attempt log anew", "the run's own record is not in the log: found")
def test_a_log_written_anew_with_the_key_does_not_know_the_run(log: AttemptLog) -> None:
    attempt = tried(log, "3")
    forged(default_key(), log)
    assert log.check() == 6
    assert not log.knows(attempt.entry, 3)


@pytest.mark.attack("a line signed with another key is added to the attempt log", "refused")
def test_a_line_of_another_key_is_found(log: AttemptLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, last = default_key(), log.entries()[-1]
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "eve"))
    eve = default_key()
    bare = Entry(7, last.at, "decision", last.digest, {"attempt": last.facts["attempt"], "decision": "approved"})
    line = Entry(bare.line, bare.at, bare.kind, bare.previous, bare.facts, eve.sign(bare.message).hex())
    with log.path.open("ab") as file:
        file.write(line.to_bytes() + b"\n")
    assert "line 7 of" in refused(AttemptLog(log.path.parent, key=own))


@pytest.mark.attack("the chain of the attempt log is computed anew after an edit, without the key", "signatures fail: refused")
def test_a_chain_computed_anew_is_found(log: AttemptLog) -> None:
    previous, made = START, []
    for line in lines(log):
        document = json.loads(line) | {"previous": previous}
        if document["kind"] == "decision":
            document["facts"]["decision"] = "approved"
        made.append(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
        previous = hashlib.sha256(made[-1]).hexdigest()
    log.path.write_bytes(b"\n".join(made) + b"\n")
    assert "line 2 of" in refused(log)
    log.head_path.write_text(json.dumps(json.loads(log.head_path.read_text()) | {"last": previous}))
    refused(log)


@pytest.mark.attack(
    "a line is added in another spelling of the same JSON, under its own signature", "one spelling counts: refused"
)
def test_a_line_has_one_spelling(log: AttemptLog) -> None:
    *others, last = lines(log)
    for spelling in (
        last.replace(b'":', b'": ', 1),
        json.dumps(json.loads(last) | {"more": 1}).encode() + b"\n",
        b"[]\n",
        b"\n",
    ):
        log.path.write_bytes(b"".join([*others, spelling]))
        assert "line 6 of" in refused(log)


@pytest.mark.attack(
    "the signature of the newest line is spelled otherwise, so that a run's record of it fits no more", "refused"
)
def test_a_signature_has_one_spelling_even_where_no_head_names_it(log: AttemptLog) -> None:
    older = log.head_path.read_bytes()
    tried(log, "4", decision=None)
    *others, last = lines(log)
    signature = json.loads(last)["signature"].encode()
    log.path.write_bytes(b"".join([*others, last.replace(signature, signature.upper())]))
    log.head_path.write_bytes(older)  # as after a crash between line and head
    assert "line 7 of" in refused(log)


# the clock -------------------------------------------------------------------------------------------------------------


@pytest.mark.attack("the clock is set back before a judgement", "nothing is logged, and so nothing judged")
def test_a_clock_set_back_is_refused(log: AttemptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before, true = log.path.read_bytes(), now()
    monkeypatch.setattr(module, "now", lambda: true - timedelta(hours=2))
    with pytest.raises(InputError) as said:
        tried(log, "4")
    assert f"clock reads {(true - timedelta(hours=2)).isoformat()}" in str(said.value)
    assert "set it right" in str(said.value)
    assert len(str(said.value).splitlines()) <= 3
    assert log.path.read_bytes() == before


def test_clocks_that_differ_a_little_do_no_harm_and_cannot_be_walked_back(
    log: AttemptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = now()
    for minutes in (0, -9, 5, -4):
        monkeypatch.setattr(module, "now", lambda at=true + timedelta(minutes=minutes): at)
        tried(log, str(minutes))
    monkeypatch.setattr(module, "now", lambda: true - timedelta(minutes=6))  # eleven before the latest, two before the last
    with pytest.raises(InputError, match="set it right"):
        tried(log, "late")
    log.check()


# crashes ---------------------------------------------------------------------------------------------------------------


def test_a_crash_between_line_and_head_is_mended_by_the_next(log: AttemptLog) -> None:
    older = log.head_path.read_bytes()
    tried(log, "4", decision=None)
    log.head_path.write_bytes(older)
    assert log.check() == 7
    assert tried(log, "5").number == 5
    assert log.check() == 9


def test_two_crashes_in_a_row_are_mended(log: AttemptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    older, write = log.head_path.read_bytes(), module._write_at_end
    tried(log, "4", decision=None)
    log.head_path.write_bytes(older)

    def crash(path: Path, line: bytes) -> None:
        write(path, line)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_at_end", crash)
        with pytest.raises(KeyboardInterrupt):
            tried(log, "5")
    assert log.check() == 8
    assert tried(log, "6", decision=None).number == 6


def test_a_crash_before_the_first_line_is_mended(tmp_path: Path) -> None:
    log = AttemptLog.of_machine()
    with log._open():
        pass  # the empty head is there, and then the power goes
    assert log.head_path.exists()
    assert not log.path.exists()
    assert log.check() == 0
    empty = log.head_path.read_bytes()
    tried(log, "1", decision=None)
    log.head_path.write_bytes(empty)
    assert tried(log, "2").number == 2
    assert log.check() == 3


@pytest.mark.parametrize("keep", [1, 40, 0.5, -2])
def test_half_a_line_at_the_end_is_cut_off_and_nothing_else(log: AttemptLog, keep: float) -> None:
    whole, head = log.path.read_bytes(), log.head_path.read_bytes()
    tried(log, "4", decision=None)
    line = log.path.read_bytes()[len(whole) :]
    torn = line[: int(len(line) * keep) if isinstance(keep, float) else keep]
    log.path.write_bytes(whole + torn)
    log.head_path.write_bytes(head)
    assert log.check() == 6
    assert tried(log, "5").number == 4  # nobody was told that the other was number 4
    assert log.path.read_bytes().startswith(whole)
    assert log.check() == 8


def test_a_whole_line_that_lacks_only_its_end_counts(log: AttemptLog) -> None:
    head = log.head_path.read_bytes()
    tried(log, "4", decision=None)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    log.head_path.write_bytes(head)
    assert log.check() == 7
    assert tried(log, "5").number == 5
    assert log.check() == 9


def test_nothing_but_zeros_after_a_power_cut_is_cut_off(log: AttemptLog) -> None:
    with log.path.open("ab") as file:
        file.write(b"\0" * 4_096)
    assert tried(log, "4").number == 4
    assert log.check() == 8


def test_a_full_disk_leaves_the_log_as_it_was(log: AttemptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = log.path.read_bytes(), module.os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:-50])

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", full)
        with pytest.raises(DataError, match="no space is left"):
            tried(log, "4")
    assert log.path.read_bytes() == before
    assert tried(log, "4").number == 4


WRITER = """
import sys
from synth.gate.attempts import AttemptLog
rows = [f"{number:016x}" for number in range(256)]
log = AttemptLog.of_machine()
for number in range(20):
    facts = dict(policy="p", policy_version="1.0.0", policy_digest="aa", synthetic="bb")
    with log.attempt(data=rows, measurements=f"{sys.argv[1]}-{number}", **facts):
        pass
"""


@pytest.mark.attack("two processes judge at the same time, to get the same number twice", "each attempt has its own number")
def test_two_processes_write_one_chain() -> None:
    default_key()
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", WRITER, name]) for name in "ab"]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    log = AttemptLog.of_machine()
    assert log.check() == 40
    assert [entry.facts["number"] for entry in log.entries()] == list(range(1, 41))


def test_a_writer_killed_at_any_moment_leaves_a_log_that_goes_on() -> None:
    default_key()
    log = AttemptLog.of_machine()
    for number in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(number)])
        while len(log.entries()) < 5 * (number + 1):
            assert process.poll() is None or len(log.entries()) >= 5 * (number + 1)
        process.kill()
        process.wait()
        made = log.check()
        assert tried(log, f"after {number}", policy="p", decision=None).number == made + 1


# what must not leave ---------------------------------------------------------------------------------------------------


@pytest.mark.attack("real rows are looked up by their numbers in an export", "no file that leaves, nor the report, holds one")
def test_no_number_of_a_real_row_is_in_any_file_that_leaves(tmp_path: Path) -> None:
    rules = (
        "{name: loose, version: 1.0.0, title: loose, description: Lets nearly everything pass., checks: [{measure: "
        "privacy.exact_copies, limit: 0.9, why: Something must pass.}], formats: [parquet, csv, arrow]}"
    )
    train, holdout = synth.read(people(300)).split(0.4, seed=0)
    fake = synth.Independent().fit(train, seed=0).sample_table(200, seed=0)
    measured = evaluate(train, holdout, fake)
    numbers = measured.context[SKETCH]
    assert numbers == sketch([train, holdout], ["age", "pay", "town"])
    verdict = Policy.parse(rules).judge(measured)
    assert verdict.decision == "approved"
    folder = export(fake, approve(verdict), tmp_path / "out", formats=("parquet", "csv", "arrow"))
    said = {file.name: file.read_bytes() for file in folder.iterdir()}
    said["verdict.json of the run"] = verdict.to_bytes()
    said["report.json of the run"] = to_json(measured, verdict).encode()
    page = render(measured, verdict, train=train, holdout=holdout, synthetic=fake, title="loose")
    said["report.html of the run"] = page.encode()
    said["the statement"] = base64.b64decode(json.loads(said["attestation.json"])["payload"])
    for file in folder.glob("*.parquet"):
        said[f"the values of {file.name}"] = repr(pq.read_table(file).to_pydict()).encode()
    for name, content in said.items():
        for number in numbers:
            forms = (number.encode(), bytes.fromhex(number), bytes.fromhex(number)[::-1], str(int(number, 16)).encode())
            assert not any(form in content for form in forms), f"{name} holds {number}"
        assert SKETCH.encode() not in content, name
