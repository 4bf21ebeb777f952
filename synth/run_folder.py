"""What a job leaves: a run folder, read when asked for; and what people decide about it.

Judge, waive, approve, reject, export: each decision is a signed file in the folder, and a line in the log of attempts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import cached_property
from pathlib import Path
from typing import Any, Never, TypeVar

from synth.approving import Notice, approve, documents, export, policy_of, to_sql
from synth.config import RunConfig, tables
from synth.data.schema import Schema
from synth.data.sources import read, read_claimed
from synth.data.table import Provenance, Table
from synth.errors import DataError, InputError, NotApprovedError, SynthError, VerificationError
from synth.folder import replace
from synth.gate.approval import Approval, reject
from synth.gate.approval import approve as sign
from synth.gate.attempts import AttemptLog
from synth.gate.dsse import all_signed_by
from synth.gate.keys import Signer, default_key, signer_of, trusted
from synth.gate.policy import Policy
from synth.gate.seals import check_seal
from synth.gate.terms import now
from synth.gate.verdict import Verdict
from synth.gate.waivers import Waiver, keep, kept, waive
from synth.gate.waiving import waive as counted
from synth.metrics.measurement import Measurements
from synth.privacy.ledger import Ledger
from synth.report.page import render
from synth.report.twin import to_json
from synth.settling import APPROVAL, ATTEMPTS, POLICY, REJECTION, REQUEST, settle

Place = TypeVar("Place", Path, str)


@dataclass(frozen=True)
class Run:
    """A run folder, or the folder that `synth evaluate` leaves: everything in it is read when asked for."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Raises DataError where the folder holds no measurements."""
        folder = Path(path)
        if not (folder / "measurements.json").is_file():
            raise DataError(
                f"{folder} is not a run: it holds no measurements.json; make one with `synth run` or `synth evaluate`"
            )
        return cls(folder)

    @cached_property
    def schema(self) -> Schema:
        """The training table's schema. Raises DataError where the file is damaged."""
        with self._undamaged("schema.json") as document:
            return Schema.from_dict(document)

    @property
    def synthetic(self) -> Table:
        """The quarantined rows. Raises DataError where they are not those that were measured."""
        rows = self.measurements.synthetic
        assert rows is not None
        return rows

    @cached_property
    def measurements(self) -> Measurements:
        """The figures, with the rows that they are about. Raises DataError where they are damaged or about other rows."""
        made = self.schema.select([column.name for column in self.schema.made])
        arrow = read_claimed(self.path / "synthetic.parquet", made).arrow  # whatever was wrong with it has been measured
        with self._undamaged("measurements.json") as document:
            found = Measurements.from_dict(document)
            digests, counts = found.context["digests"], found.context["rows"]
            origin = found.context.get("provenance")
            rows = Table(arrow, made, provenance=Provenance(**origin) if origin else None, mark="quarantined")
            about = (digests["synthetic"], digests["schema"], counts["synthetic"])
            _ = digests["train"], counts["train"]
        if about != (rows.digest(), self.schema.digest(), len(rows)):
            raise DataError(
                f"{self.path / 'measurements.json'} is about other rows, or another schema, than those of this folder;\n"
                "one of them was changed since: make the run again, or evaluate the rows again"
            )
        return Measurements(found.items, found.context, rows)

    @contextmanager
    def _undamaged(self, name: str) -> Iterator[Any]:
        """What a file of the run says. Raises DataError where it is not there or not in the form that a run leaves."""
        file = self.path / name
        try:
            yield json.loads(file.read_bytes(), parse_constant=_no_number)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            said = f"{type(problem).__name__}: {problem}"
            raise DataError(f"{file} is damaged or missing ({said[:120]});\nmake the run again, or evaluate again") from problem

    @property
    def verdict(self) -> Verdict | None:
        """The last verdict, or None before the first `judge`."""
        file, rules = self.path / "verdict.json", self.path / POLICY
        if not file.is_file():
            return None
        return Verdict.from_bytes(
            file.read_bytes(),
            measurements=self.measurements,
            rules=rules.read_bytes() if rules.is_file() else None,
            entry=self.attempts[-1]["entry"] if self.attempts else None,
        )

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Every judgement of this run, as the log of attempts has it: its number, its line's hash and whose log that is."""
        if not (self.path / ATTEMPTS).is_file():
            return []
        with self._undamaged(ATTEMPTS) as document:
            return [dict(attempt) for attempt in document["attempts"]]

    @property
    def self_test(self) -> dict[str, Any] | None:
        """What a self-test found, where one was asked for. Raises DataError where the file is damaged."""
        if not (self.path / "self_test.json").is_file():
            return None
        with self._undamaged("self_test.json") as document:
            return dict(document)

    @property
    def exported(self) -> Path | None:
        """The export inside the run folder, where there is one."""
        folder = self.path / "export"
        return folder if folder.is_dir() else None

    def judge(self, policy: Policy, *, title: str | None = None, notice: Notice = lambda text: None) -> Verdict:
        """Judge the run again, with the waivers that it holds; sign where the policy lets this machine sign, else ask people.

        An older approval is withdrawn first. Raises VerificationError where the figures are not those that were measured, where
        a waiver was altered, and where the log of attempts does not know of this run's earlier ones.
        """
        self.check()
        verdict = policy.judge(self.measurements, waivers=kept(self.path, trusted()))
        settle(self.path, verdict, notice=notice)
        train, holdout = self._real_rows()
        page = render(
            self.measurements,
            verdict,
            train=train,
            holdout=holdout,
            synthetic=self.synthetic,
            title=title or self.path.name,
            power=self.self_test,
        )
        replace(self.path / "report.html", page)
        replace(self.path / "report.json", to_json(self.measurements, verdict))
        return verdict

    def check(self) -> None:
        """Raise VerificationError where the run is not as it was measured and judged: edited, or attempts or cost unlogged."""
        check_seal(self.path, trusted())
        machine = default_key().keyid
        self._check_ledger(machine)
        own = [attempt for attempt in self.attempts if attempt["machine"] == machine]
        log = AttemptLog.of_machine()
        for attempt in own:
            if not log.knows(attempt["entry"], attempt["number"]):
                raise VerificationError(
                    f"the log of attempts does not know attempt {attempt['number']} under {attempt['policy']}, in which\n"
                    f"{self.path} was judged: it was deleted or put back to an older state; restore it\n"
                    "(`synth attempts --check` says more)"
                )

    def _check_ledger(self, machine: str) -> None:
        """The ledger of the machine that paid for a run under a privacy budget must still know of it."""
        spent = self.measurements.context.get("privacy") or {}
        if spent.get("machine") == machine and not Ledger().knows(spent["entry"], spent["entry_digest"]):
            raise VerificationError(
                f"the ledger of this machine ({Ledger().path}) does not know entry {spent['entry']}, by which {self.path}\n"
                "was paid for: it was deleted, edited or put back to an older state; restore it, or name the right one in "
                "SYNTH_LEDGER"
            )

    def _real_rows(self) -> tuple[Table | None, Table | None]:
        """The real rows, for the plots of the report, where their files are still what they were."""
        holdout: Table | None
        if "privacy" in self.measurements.context:
            return None, None  # another look at them would be outside the budget
        try:
            if (self.path / "config.yaml").is_file():
                train, holdout = tables(RunConfig.load(self.path / "config.yaml"))
            else:
                origin = json.loads((self.path / "evaluated.json").read_bytes())
                train = read(origin["real"], schema=self.schema)
                holdout = read(origin["holdout"], schema=self.schema) if origin["holdout"] else None
        except (SynthError, OSError):
            return None, None
        same = train.digest() == self.measurements.context["digests"]["train"]
        return (train, holdout) if same else (None, None)

    # what people decide ----------------------------------------------------------------------------------------------------

    @property
    def standing(self) -> str:
        """In words: approved, rejected, inconclusive, not judged yet, or how many signatures are missing."""
        verdict = self.verdict
        if (self.path / REJECTION).is_file():
            return "rejected by a person"
        if verdict is None:
            return "not judged yet"
        if (approval := self.approval) is not None and approval.missing:
            return f"waiting for {approval.missing} of {approval.terms.signers} signatures"
        return verdict.decision

    @property
    def awaits_people(self) -> bool:
        """Whether the policy approved, and people have yet to sign before anything leaves."""
        return self.approval is not None and self.approval.missing > 0

    @property
    def approval(self) -> Approval | None:
        """What was signed so far, or what people are asked to sign, without its documents; None where nothing was approved."""
        name = next((name for name in (APPROVAL, REQUEST) if (self.path / name).is_file()), None)
        return None if name is None else self._signed(name)

    def approve(self, key: Signer | str | Path, *, by: str | None = None, notice: Notice = lambda text: None) -> Approval:
        """A person's signature. `Approval.missing` says how many more the policy wants before anything leaves.

        by: the person's name, for an approval with one signature; several signers are named by their keys.
        Raises NotApprovedError for what the policy did not approve, for the key of the machine that asks, and after a
        rejection; VerificationError where the run, or what it asks to sign, was altered.
        """
        self.check()
        verdict, signer = self._approved_verdict(), signer_of(key)
        if (self.path / REQUEST).is_file():
            approval = self._sign_request(verdict, signer, by)
        else:
            approval = approve(verdict, by=by, key=signer, notice=notice)
        replace(self.path / APPROVAL, approval.to_bytes())
        self._note("approval", signer, missing=approval.missing)
        return approval

    def reject(self, key: Signer | str | Path, *, by: str, reason: str) -> Path:
        """A person's signed word that these rows are not to leave; an approval is withdrawn. Returns the file that says so.

        A later approval needs a new judgement, and then a person's signature. Raises NotApprovedError before any judgement.
        """
        self.check()
        verdict, signer = self.verdict, signer_of(key)
        if verdict is None:
            raise NotApprovedError(f"{self.path} is not judged yet; run `synth gate {self.path}` first")
        if not reason.strip():
            raise InputError("a rejection needs its reason in words; none was given")
        for name in (APPROVAL, REQUEST):
            (self.path / name).unlink(missing_ok=True)
        replace(self.path / REJECTION, reject(verdict, by=by, reason=reason, key=signer))
        self._note("rejection", signer, reason=reason)
        return self.path / REJECTION

    def waive(
        self, check: str, key: Signer | str | Path, *, owner: str, reason: str, approver: str, days: int
    ) -> tuple[Waiver, Path]:
        """A person's signed word that one check of these rows need not hold for a while; it counts at the next `judge`.

        Raises NotApprovedError where the policy does not let the check be waived, or nothing is there to waive, and for the
        machine's own key.
        """
        self.check()
        verdict, signer = self.verdict, signer_of(key)
        if verdict is None:
            raise NotApprovedError(
                f"{self.path} is not judged yet, so nothing can be waived; run `synth gate {self.path}` first"
            )
        if signer.public.keyid == default_key().keyid:
            raise NotApprovedError(
                "this machine's own key cannot waive a check: that is a person's word; make a key with `synth keys new NAME`"
            )
        digest = verdict.context["digests"]["synthetic"]
        waiver, envelope = waive(
            check, owner=owner, reason=reason, approver=approver, days=days, synthetic=digest,
            policy_digest=verdict.policy_digest, key=signer,
        )  # fmt: skip
        _, refused = counted(
            verdict.findings, [waiver], policy_of(verdict).waivers, synthetic=digest, policy_digest=verdict.policy_digest
        )
        if refused:
            raise NotApprovedError(refused[0])
        file = keep(envelope, waiver, self.path)
        self._note("waiver", signer, check=check, expires=waiver.expires)
        return waiver, file

    def export(self, to: str | Path, *, formats: Iterable[str] = ("parquet",)) -> Path:
        """Export what was approved to a folder. Raises NotApprovedError where nothing was, or signatures are missing."""
        return self._leave(lambda approval: export(self.synthetic, approval, to, formats=tuple(formats)))

    def to_sql(self, url: str, table: str | None = None) -> str:
        """Export what was approved to a new table of a database, and where it is; see `synth.to_sql`. Raises as `export`."""
        return self._leave(lambda approval: to_sql(self.synthetic, url, table, approval=approval))

    def _leave(self, write: Callable[[Approval], Place]) -> Place:
        """Write rows to where they are shared, under the folder's approval. Raises NotApprovedError where there is none."""
        self.check()
        self._approved_verdict()
        if not (self.path / APPROVAL).is_file():
            raise NotApprovedError(f"{self.path} is {self.standing}: nothing leaves before; see `synth approve {self.path}`")
        approval = self._read_approval(APPROVAL)
        done = write(approval)
        self._note("export", None, approval=hashlib.sha256(approval.to_bytes()).hexdigest())
        return done

    def _approved_verdict(self) -> Verdict:
        """The verdict, where the policy approved and nobody has rejected since. Raises NotApprovedError."""
        verdict = self.verdict
        if (self.path / REJECTION).is_file() and not (self.path / REQUEST).is_file():
            raise NotApprovedError(f"{self.path} was rejected by a person; judge it again first: `synth gate {self.path}`")
        if verdict is None or verdict.decision != "approved":
            raise NotApprovedError(
                f"{self.path} is {self.standing}: nothing leaves without an approval; run `synth gate {self.path}` first"
            )
        return verdict

    def _read_approval(self, name: str) -> Approval:
        """A signed statement of this folder, with the documents that it covers made again under its own terms."""
        bare, verdict = self._signed(name), self.verdict
        assert verdict is not None
        again = documents(
            verdict, self.measurements, self.synthetic, terms=bare.terms, by=str(bare.annotations.get("approvedBy"))
        )
        return replace_fields(bare, documents=again)

    def _signed(self, name: str) -> Approval:
        return Approval.from_bytes((self.path / name).read_bytes(), documents={})

    def _sign_request(self, verdict: Verdict, signer: Signer, by: str | None) -> Approval:
        """One more signature under what was asked for, which must be what would be asked for now."""
        asked = self._read_approval(REQUEST)
        if by is not None and asked.terms.signers > 1:
            raise InputError("several people sign the very same words, so none can add a name: they are named by their keys")
        if asked.terms.ends <= now():
            raise NotApprovedError(f"the request ended on {asked.terms.expires}; judge the run again: `synth gate {self.path}`")
        if not all_signed_by(asked.envelope, trusted()):
            raise VerificationError(
                f"{self.path / REQUEST} is not by a key that this machine trusts, or was altered; judge the run again,\n"
                "or trust the key of the machine that judged it with `synth keys trust`"
            )
        words = str(asked.annotations["approvedBy"])
        same = sign(verdict, self.synthetic, by=words, key=signer, documents=asked.documents, terms=asked.terms)
        if same.statement != asked.statement:
            raise VerificationError(
                f"{self.path / REQUEST} asks for a signature under something else than what was judged; judge the run again"
            )
        if (self.path / APPROVAL).is_file():
            earlier = self._read_approval(APPROVAL)
            if earlier.statement != asked.statement or not all_signed_by(earlier.envelope, trusted()):
                raise VerificationError(
                    f"{self.path / APPROVAL} is not what is asked for, or by a key that this machine does not trust;\n"
                    "remove it, or trust the earlier signer's key with `synth keys trust`"
                )
            return earlier.signed(signer)
        if by is None:
            return same
        again = documents(verdict, self.measurements, self.synthetic, terms=asked.terms, by=by)
        return sign(verdict, self.synthetic, by=by, key=signer, documents=again, terms=asked.terms)

    def _note(self, kind: str, signer: Signer | None, **facts: Any) -> None:
        """Write down in this machine's log what was decided, where the log knows the attempt."""
        log = AttemptLog.of_machine()
        last = self.attempts[-1] if self.attempts else None
        if last is not None and log.knows(last["entry"], last["number"]):
            who = {} if signer is None else {"keyid": signer.public.keyid}
            log.note(kind, last["entry"], **who, **facts)


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no number that a run writes")
