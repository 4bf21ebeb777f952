"""The seal of a run folder: what was measured, signed by the machine that measured it.

An approval says of rows that their figures were judged. Without a seal, figures could be written by hand into a run folder
and be judged and signed like others. The seal is a DSSE envelope around a statement that names the SHA-256 of the rows, their
schema and the figures; it holds no clock, so that the same run has the same seal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from synth.errors import VerificationError
from synth.gate.dsse import STATEMENT, all_signed_by, opened, seal
from synth.gate.keys import PublicKey, Signer

SEAL = "seal.json"
SEALED = ("measurements.json", "schema.json", "synthetic.parquet")
PREDICATE = "urn:synth:seal:v1"


def seal_run(folder: Path, key: Signer) -> bytes:
    """The seal of the files that a run folder holds."""
    subjects = [{"name": name, "digest": {"sha256": _digest(folder / name)}} for name in SEALED]
    return seal({"_type": STATEMENT, "subject": subjects, "predicateType": PREDICATE, "predicate": {}}, key)


def check_seal(folder: Path, known: Iterable[PublicKey]) -> PublicKey:
    """The key that sealed the folder's files. Raises VerificationError that says what is not as it was measured."""
    file = folder / SEAL
    if not file.is_file():
        raise VerificationError(
            f"{folder} holds no {SEAL}: nothing says that its figures were measured and not written by hand;\n"
            "evaluate the rows again with `synth evaluate` or `synth run`"
        )
    content = file.read_bytes()
    signers = all_signed_by(content, known)
    if len(signers) != 1:
        raise VerificationError(
            f"{file} is not by a key that this machine trusts, or was altered: evaluate the rows again here,\n"
            "or trust the key of the machine that measured them with `synth keys trust`"
        )
    statement = json.loads(opened(content)[0])
    if statement.get("predicateType") != PREDICATE:
        raise VerificationError(f"{file} is signed but is no seal of a run; evaluate the rows again")
    signed = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    for name in SEALED:
        found = _digest(folder / name) if (folder / name).is_file() else "missing"
        if signed.get(name) != found:
            raise VerificationError(
                f"{folder / name} is not what was measured (SHA-256 {found[:16]}…, sealed {signed.get(name, 'none')[:16]}…):\n"
                "it was edited, or written by hand: evaluate the rows again"
            )
    return signers[0]


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
