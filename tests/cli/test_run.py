"""The whole job on the bundled real table: what a run leaves, what leaves it, and what is noticed afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import synth
from synth.approving import approve
from synth.config import RunConfig
from synth.errors import NotApprovedError, VerificationError
from synth.gate.policy import Policy
from synth.metrics.measurement import Measurements
from synth.run import Run, run

RUN_FILES = (
    "approval.json attempts.json config.yaml export log.jsonl measurements.json model policy.json report.html report.json "
    "schema.json seal.json split.json synthetic.parquet synthetic.parquet.quarantined verdict.json"
)
EXPORT_FILES = (
    "README.md attestation.json croissant.json data.csv data.parquet evidence.html openlineage.json policy.json prov.json "
    "provenance.parquet report.html verdict.json"
)


def config(**changes: object) -> RunConfig:
    document = {
        "name": "arrests",
        "data": {"source": "bundled:arrests"},
        "split": {"holdout": 0.4},
        "policy": "research",
        "export": {"formats": ["parquet", "csv"]},
    }
    return RunConfig.parse({**document, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Path]]:
    """One run of the demo's config, and the home that its key lies in."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(home))
        yield run(config(), out=tmp_path_factory.mktemp("runs") / "arrests"), home


@pytest.fixture
def finished(done: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run that a test may spoil."""
    monkeypatch.setenv("SYNTH_HOME", str(done[1]))
    shutil.copytree(done[0].path, tmp_path / "arrests")
    return Run.open(tmp_path / "arrests")


def test_a_run_leaves_what_the_design_names(finished: Run) -> None:
    assert sorted(path.name for path in finished.path.iterdir()) == RUN_FILES.split()
    assert finished.exported is not None
    assert sorted(path.name for path in finished.exported.iterdir()) == EXPORT_FILES.split()
    steps = [json.loads(line)["step"] for line in (finished.path / "log.jsonl").read_text().splitlines()]
    assert steps == ["read", "fit", "sample", "evaluate", "judge", "export"]


def test_rows_in_a_run_say_that_they_are_not_approved_and_exported_ones_do_not(finished: Run) -> None:
    assert finished.exported is not None
    assert b"synth:status" in pq.read_schema(finished.path / "synthetic.parquet").metadata
    assert b"synth:status" not in (pq.read_schema(finished.exported / "data.parquet").metadata or {})
    assert pq.read_table(finished.exported / "data.parquet").equals(pq.read_table(finished.path / "synthetic.parquet"))


def test_the_same_config_and_seed_give_the_same_bytes_and_the_older_run_is_kept(finished: Run) -> None:
    again = run(config(), out=finished.path)
    older = finished.path.with_name("arrests.1")
    for name in (
        "export/data.parquet",
        "export/data.csv",
        "synthetic.parquet",
        "model/model.json",
        "model/arrays.npz",
        "verdict.json",
    ):
        assert (again.path / name).read_bytes() == (older / name).read_bytes(), name
    assert again.verdict is not None
    assert again.verdict.decision == "approved"


def test_the_saved_model_makes_the_exported_rows_again(finished: Run) -> None:
    assert finished.exported is not None
    origin = finished.measurements.context["provenance"]
    rows = synth.load(finished.path / "model").sample_table(origin["rows"], where=origin["where"], seed=origin["seed"])
    assert rows.arrow.equals(pq.read_table(finished.exported / "data.parquet"))


def test_a_policy_that_rejects_leaves_no_export_and_withdraws_the_approval(finished: Run) -> None:
    strict = Policy.load("research").model_dump(mode="json")
    strict["checks"][0] = {"measure": "fidelity.shape", "limit": 0.0, "why": "Nothing real is as like as this."}
    strict["checks"] = [check for i, check in enumerate(strict["checks"]) if i == 0 or check["measure"] != "fidelity.shape"]
    verdict = finished.judge(Policy.model_validate(strict))
    assert verdict.decision == "rejected"
    assert not (finished.path / "approval.json").exists()
    with pytest.raises(NotApprovedError, match="rejected"):
        finished.export(finished.path.parent / "out")
    assert not (finished.path.parent / "out").exists()


@pytest.mark.parametrize("name", ["fidelity.shape", "utility.gap", "privacy.membership_auc"])
@pytest.mark.parametrize("status", ["error", "skipped"])
@pytest.mark.attack("makes a metric raise, or skips it, in a run that passes otherwise", "not approved, and not signed")
def test_a_metric_that_crashed_or_was_skipped_is_never_approved(finished: Run, name: str, status: str) -> None:
    measured = finished.measurements
    items = tuple(replace(m, status=status, score=None, reason="planted") if m.name == name else m for m in measured)
    verdict = Policy.load("privacy-release").judge(Measurements(items, measured.context, measured.synthetic))
    assert verdict.decision != "approved"
    assert name in {finding.check for finding in verdict.blocking}
    with pytest.raises(NotApprovedError):
        approve(verdict)


def test_rows_that_were_changed_after_the_verdict_do_not_leave(finished: Run) -> None:
    table = pq.read_table(finished.path / "synthetic.parquet")
    pq.write_table(table.slice(1), finished.path / "synthetic.parquet")
    with pytest.raises(VerificationError, match="not what was measured"):
        Run.open(finished.path).export(finished.path.parent / "out")
    assert not (finished.path.parent / "out").exists()


# what `synth verify` says of an export that was tampered with ------------------------------------------------------------


def flip_a_byte(export: Path, other: Path) -> list[str]:
    content = bytearray((export / "data.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (export / "data.parquet").write_bytes(content)
    return []


def edit_a_number(export: Path, other: Path) -> list[str]:
    verdict = json.loads((export / "verdict.json").read_bytes())
    verdict["findings"][0]["value"] = 0.123
    (export / "verdict.json").write_text(json.dumps(verdict))
    return []


def remove_the_attestation(export: Path, other: Path) -> list[str]:
    (export / "attestation.json").unlink()
    return []


def swap_the_attestation(export: Path, other: Path) -> list[str]:
    shutil.copy(other / "attestation.json", export / "attestation.json")
    return []


def check_with_another_key(export: Path, other: Path) -> list[str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (export.parent / "another.pub").write_bytes(public)
    return ["--key", str(export.parent / "another.pub")]


TAMPERED = {
    flip_a_byte: "data.parquet was altered",
    edit_a_number: "verdict.json was altered",
    remove_the_attestation: "holds no attestation.json",
    swap_the_attestation: "another export",
    check_with_another_key: "unknown key",
}


@pytest.fixture(scope="module")
def another(done: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another export, signed by the same key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(done[1]))
        second = run(config(seed=1), out=tmp_path_factory.mktemp("another") / "run")
    assert second.exported is not None
    return second.exported


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
def test_verify_says_what_differs(
    tamper: Callable[[Path, Path], list[str]], finished: Run, another: Path, cli: Callable[..., object]
) -> None:
    assert finished.exported is not None
    assert cli("verify", finished.exported).code == 0
    options = tamper(finished.exported, another)
    ended = cli("verify", finished.exported, *options)
    assert ended.code == 4
    assert TAMPERED[tamper] in ended.err
    assert ended.out == ""
