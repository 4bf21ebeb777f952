"""Tampering beyond altered bytes: links, additions to the envelope, names, policies in disguise, damaged runs and models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import synth
from synth.errors import ConfigError, DataError, NotApprovedError, VerificationError
from synth.gate.approval import Approval
from synth.gate.dsse import opened, seal
from synth.gate.export import export
from synth.gate.keys import default_key
from synth.gate.policy import Policy, packaged
from synth.gate.seals import SEAL, seal_run
from synth.gate.verify import LARGEST, verify
from synth.generators import create
from synth.metrics.measurement import Interval, Measurement
from synth.run import Run, evaluate_files

Exported = Callable[..., Path]


def refused(folder: Path) -> str:
    with pytest.raises(VerificationError) as said:
        verify(folder)
    assert len(str(said.value).splitlines()) <= 3
    return str(said.value)


@pytest.mark.parametrize("name", ["data.parquet", "attestation.json", "README.md"])
def test_a_link_in_an_export_is_not_verified(exported: Exported, tmp_path: Path, name: str) -> None:
    file = exported() / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert f"{name} is a link" in refused(file.parent)


def test_nothing_can_be_added_to_the_envelope(exported: Exported) -> None:
    file = exported() / "attestation.json"
    sound = json.loads(file.read_text())
    own = sound["signatures"][0]
    for change, words in [
        ({"signatures": [own, {"keyid": "eve", "sig": own["sig"]}]}, "unknown key"),
        ({"signatures": [own, own]}, "signs it twice"),
        ({"signatures": []}, "holds no signature"),
        ({"signatures": [own | {"note": "by the president"}]}, "one form"),
        ({"note": "by the president"}, "one form"),
    ]:
        file.write_text(json.dumps(sound | change, indent=1) + "\n")
        assert words in refused(file.parent)
    twice = json.dumps(sound, indent=1).replace('{\n "payload"', '{\n "payload": "e30=",\n "payload"', 1) + "\n"
    file.write_text(twice)
    assert "one form" in refused(file.parent)


def test_an_attestation_of_absurd_size_is_not_read(exported: Exported) -> None:
    file = exported() / "attestation.json"
    with file.open("r+b") as content:
        content.truncate(LARGEST + 1)
    assert "which no approval has" in refused(file.parent)


def test_a_folder_in_the_place_of_a_file_has_its_own_words(exported: Exported) -> None:
    folder = exported()
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert "README.md is not a file" in refused(folder)


@pytest.mark.parametrize("name", ["a\nverified\n\n\nb", "\x1b[2Jx", "README.md\u202e", "x" * 200])
def test_an_added_name_cannot_write_its_own_message(exported: Exported, name: str) -> None:
    folder = exported()
    (folder / name).write_text("x")
    said = refused(folder)
    assert "is not covered by the signature" in said
    assert name not in said


def test_no_document_is_written_outside_the_export(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    outside = replace(approval, documents={**approval.documents, "../evil.txt": b"x"})
    with pytest.raises(NotApprovedError, match=r"\.\./evil\.txt is not what was approved"):
        export(table, outside, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil.txt"))


def test_what_would_not_be_verified_is_not_exported(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    payload, _ = opened(approval.to_bytes())
    statement = json.loads(payload)
    statement["predicate"]["result"] = "FAILED"
    failed = Approval(seal(statement, default_key()), approval.documents, (default_key().public,))
    with pytest.raises(NotApprovedError, match="what was signed is not an approval"):
        export(table, failed, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", packaged())
def test_a_policy_cannot_pass_for_a_packaged_one(name: str, tmp_path: Path) -> None:
    document = Policy.load(name).model_dump(mode="json")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    assert Policy.load(file).digest() == Policy.load(name).digest()
    file.write_text(json.dumps(document | {"checks": document["checks"][:1]}))
    with pytest.raises(ConfigError, match="not the packaged policy of that name"):
        Policy.load(file)
    file.write_text(json.dumps(document | {"checks": document["checks"][:1], "name": "mine"}))
    assert Policy.load(file).name == "mine"


def test_a_figure_that_was_not_taken_has_no_score() -> None:
    good = Interval(0.0, 0.0, 0.0, 100)
    for status in ("absent", "skipped", "error"):
        assert Measurement("privacy.exact_copies", "lower", good, status=status, reason="planted").score is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not one of"):
        Measurement("privacy.exact_copies", "lower", good, status="fine", reason="planted")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a folder that `synth evaluate` leaves."""
    place = tmp_path_factory.mktemp("measured")
    for name, shift in (("real", 0), ("held", 1), ("fake", 2)):
        rows = [f"{18 + (7 * i + shift) % 50},{'fm'[(i * i + shift) % 2]}" for i in range(120)]
        (place / f"{name}.csv").write_text("\n".join(["age,sex", *rows]) + "\n")
    run = evaluate_files(place / "real.csv", place / "held.csv", place / "fake.csv", place / "out")
    return {file.name: file.read_bytes() for file in run.path.iterdir()}


def _digest(document: dict[str, object]) -> None:
    document["context"]["digests"]["synthetic"] = "0" * 64  # type: ignore[index]


def _nan(document: dict[str, object]) -> None:
    document["measurements"][0]["reference"] = {"value": math.nan, "low": 0, "high": 1, "n": 3}  # type: ignore[index]


def _text(document: dict[str, object]) -> None:
    document["measurements"][0]["score"] = {"value": "0", "low": 0, "high": 1, "n": 3}  # type: ignore[index]


def _status(document: dict[str, object]) -> None:
    document["measurements"][0]["status"] = "fine"  # type: ignore[index]


def _bare(document: dict[str, object]) -> None:
    document["context"] = {}


@pytest.mark.parametrize("change", [_digest, _nan, _text, _status, _bare])
def test_figures_that_were_edited_into_nonsense_are_not_judged(
    change: Callable[[dict[str, object]], None], measured: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in measured.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "approval.json").write_text("old")
    document = json.loads(measured["measurements.json"])
    change(document)
    (tmp_path / "measurements.json").write_text(json.dumps(document))
    (tmp_path / SEAL).write_bytes(seal_run(tmp_path, default_key()))  # by whoever holds the key
    with pytest.raises(DataError, match=r"damaged or missing|about other rows") as said:
        Run.open(tmp_path).judge(Policy.load("research"))
    assert len(str(said.value).splitlines()) <= 3
    assert not (tmp_path / "verdict.json").exists()


@pytest.mark.parametrize("name", ["measurements.json", "schema.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff", b"3"])
def test_a_damaged_run_says_so(name: str, content: bytes, measured: dict[str, bytes], tmp_path: Path) -> None:
    for file, sound in measured.items():
        (tmp_path / file).write_bytes(sound)
    (tmp_path / name).write_bytes(content)
    (tmp_path / SEAL).write_bytes(seal_run(tmp_path, default_key()))
    with pytest.raises(DataError, match="damaged or missing"):
        Run.open(tmp_path).judge(Policy.load("research"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("arrays.npz", lambda content: b"PK\x03\x04" + b"x" * 99),
        ("arrays.npz", lambda content: content[: len(content) // 2]),
        ("model.json", lambda content: b"[]"),
        ("model.json", lambda content: json.dumps({"format": 1}).encode()),
        ("model.json", lambda content: json.dumps(json.loads(content) | {"state": {}}).encode()),
        ("model.json", lambda content: json.dumps(json.loads(content) | {"layout": "AAAA"}).encode()),
    ],
)
def test_a_damaged_model_says_so(name: str, change: Callable[[bytes], bytes], made: SimpleNamespace, tmp_path: Path) -> None:
    create("trees", {}).fit(made.rows(), seed=0).save(tmp_path / "model")
    file = tmp_path / "model" / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=r"cannot be read as a model|has model format"):
        synth.load(tmp_path / "model")
