"""Whether a folder is an export that was approved, told without synth: one file to read from top to bottom.

    python verify.py DIR --key ada.pub [--key bob.pub] [--policy policy.json|SHA256] [--revocations FILE]

Needs Python 3.11 and `cryptography`, and no network. Exit code 0: it is what was approved. 4: it is not, and a line says why.
The keys must come from the approvers themselves. `synth verify` does the same, and a test holds both to the same answers.
"""

import argparse
import hashlib
import json
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TYPE, IN_TOTO = "application/vnd.in-toto+json", "https://in-toto.io/"
LAYOUTS = ("parquet", "csv", "arrow", "sql", "huggingface")  # an export has that of its first format in this order
ROWS = ("data.parquet", "data.csv", "data.arrow")  # files that may stand side by side; the other layouts go alone
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what reading another form gives


def main(folder, keys, policy, lists):
    present = files_of(folder)
    must("attestation.json" in present, "it holds no attestation.json: nothing says that it was approved")
    payload, signers = opened(present.pop("attestation.json").read_bytes(), keys)
    statement = json.loads(payload)
    test, kinds = statement["predicate"], (statement["_type"], statement["predicateType"])
    must(kinds == (f"{IN_TOTO}Statement/v1", f"{IN_TOTO}attestation/test-result/v0.1"), f"not an approval, but {kinds}")
    (rules,) = [entry for entry in test["configuration"] if entry["name"].startswith("policy/")]
    said, digest = rules["annotations"], rules["digest"]["sha256"]
    must(test["result"] == "PASSED", f"not an approval: a rejection, or no result ({said.get('reason', test['result'])!r})")
    must(len(signers) == said["signers"], f"{len(signers)} signed, and the approval says that {said['signers']} do")
    by_requester = said["automatic"] is not True and said["requester"] in signers
    must(not by_requester, "the requester's own key signed, where somebody else must approve")
    revoked = revocations(lists, keys)
    for one in (*signers, hashlib.sha256(payload).hexdigest()):
        must(one not in revoked, f"revoked: {one} was revoked {revoked.get(one)}")
    begins, ends, now = datetime.fromisoformat(said["approvedAt"]), datetime.fromisoformat(said["expiresAt"]), datetime.now(UTC)
    must(begins <= now + timedelta(minutes=10), f"approved at {begins}, and the clock here says {now}: one clock is wrong")
    must(now < ends, f"the approval expired on {ends}")
    found = check_files(present, {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]})
    check_documents(*(present[f"{name}.json"].read_bytes() for name in ("verdict", "policy")), digest, said, ends - begins)
    for waiver in said["waivers"]:
        must(now < datetime.fromisoformat(waiver["expires"]), f"the waiver of {waiver['check']!r} expired")
        must(waiver["keyid"] not in revoked, f"the waiver of {waiver['check']!r} is by a key that was revoked")
    must(policy in (None, digest), f"approved under another policy: {digest}, asked for was {policy}")
    print(f"verified: {said['rows']:,} rows, approved by {said['approvedBy']!r} under {rules['name']!r} {digest}")
    print(f"signed by {' and '.join(signers)}; holds until {ends}; attempt {said['attempt']['number']}; {found} files fit")
    print(*(f"waived: {w['check']!r}, {w['owner']!r} answers for it: {w['reason']!r}" for w in said["waivers"]), sep="\n")


def opened(content, keys, **form):
    """The payload of a DSSE envelope, and who signed it: all of them known, all signatures right, nothing beside them."""
    given = json.loads(content)
    payload, signatures = b64decode(given["payload"]), {one["keyid"]: b64decode(one["sig"]) for one in given["signatures"]}
    written = [{"keyid": keyid, "sig": b64encode(signatures[keyid]).decode()} for keyid in sorted(signatures)]
    again = {"payload": b64encode(payload).decode(), "payloadType": TYPE, "signatures": written}
    in_form = (json.dumps(again, **(form or {"indent": 1})) + "\n").encode() == content
    must(signatures and in_form, "the attestation was altered: it is not in the one form that an approval is written in")
    for keyid in signatures:
        must(keyid in keys, f"signed by an unknown key ({keyid!r}); give the approver's own with --key")
    for keyid, signature in signatures.items():
        try:
            keys[keyid].verify(signature, b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload))
        except InvalidSignature:
            must(False, f"the attestation was altered: the signature of key {keyid} does not fit its content")
    return payload, list(signatures)


def check_files(present, signed):
    """The SHA-256 of every file: each is as it was signed, none is missing, and none was added."""
    hub = any(name.startswith("data/") for name in present)
    layout = "huggingface" if hub else next((form for form in LAYOUTS if f"data.{form}" in present), "none")
    rows = {name for name in signed if (name.startswith("data/") if hub else name in ROWS)}
    must(layout != "none" and rows, "the rows are missing: none of the signed data files is here")
    wanted = {name.removeprefix(f"{layout}/") for name in signed if name.startswith(f"{layout}/")} | (rows if hub else set())
    wanted |= {name for name in signed if not name.startswith("data.") and name.split("/")[0] not in (*LAYOUTS, "data")}
    found = {}
    for name in sorted((wanted | rows) & set(present)):
        with present[name].open("rb") as content:
            found[name] = hashlib.file_digest(content, "sha256").hexdigest()
        must(found[name] == signed.get(f"{layout}/{name}", signed.get(name)), f"{name} was altered: it is not what was signed")
    missing, strange = wanted - set(present), set(present) - wanted - rows
    must(not missing, f"{min(missing, default='')} is missing: it was signed as a part of the export")
    must(not strange, f"{min(strange, default='')!r} is not covered by the signature: it was added afterwards")
    return len(found)


def check_documents(verdict, policy, signed, said, length):
    """The verdict approves, under the policy that was signed, with the same waivers, and on that policy's terms."""
    verdict, rules, found = json.loads(verdict), json.loads(policy), hashlib.sha256(policy).hexdigest()
    must(found == verdict["policy"]["digest"] == signed, "verdict.json or policy.json is of another policy than was signed")
    must(verdict["decision"] == "approved", f"verdict.json says {verdict['decision']!r}: that was not approved")
    must(verdict["attempt"] == said["attempt"], "verdict.json is of another attempt than was signed")
    waived = [finding["waiver"] for finding in verdict["findings"] if finding["waiver"] is not None]
    same = all(one in waived for one in said["waivers"]) and all(one in said["waivers"] for one in waived)
    must(same, "verdict.json was waived otherwise than what was signed")
    about = {"synthetic": verdict["context"]["digests"]["synthetic"], "policy_digest": signed}
    must(all(one | about == one for one in waived), "a waiver is about another table, or another policy")
    approvers, often = rules["approvers"], said["attempt"]["number"] > rules["attempts"]["person_after"]
    persons = approvers["count"] if waived or often or not approvers["automatic"] else 0
    enough = said["signers"] >= persons and not said["automatic"]
    must(not persons or enough, f"the policy wants {persons} persons to sign")
    must(length <= timedelta(days=approvers["days"]), "it was approved for longer than the policy allows")


def revocations(lists, keys):
    """Why a key or an approval is no longer believed, by its SHA-256; every line is signed and names those before it."""
    revoked = {}
    for path in lists:
        before = hashlib.sha256()
        for line in path.read_bytes().splitlines(keepends=True):
            stated = json.loads(opened(line, keys, separators=(",", ":"))[0])
            said, (subject,) = stated["predicate"], stated["subject"]
            is_one = stated["predicateType"] == "urn:synth:revocation:v1" and said["before"] == before.hexdigest()
            must(is_one, f"the revocation list {path} is not whole: a line of it was taken out, added or changed")
            revoked[subject["digest"]["sha256"]] = f"by {said['revokedBy']!r}: {said['reason']!r}"
            before.update(line)
    return revoked


def files_of(folder):
    """Everything in the folder, and in its folder data/, by name. A link is refused: what it leads to can change."""
    paths = [path for entry in folder.iterdir() for path in ((entry.name == "data" and [*entry.iterdir()]) or [entry])]
    for path in (*paths, folder / "data"):
        must(not path.is_symlink(), f"{path.name!r} is a link: what it leads to can change after it was verified")
    for path in paths:
        must(path.is_file(), f"{path.name!r} is not a file: a folder or a device, which nobody signed")
    return {path.relative_to(folder).as_posix(): path for path in paths}


def must(be_so, why):
    if not be_so:
        print(f"NOT verified: {why}", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, action="append", required=True, help="a public key to trust; may be given again")
    parser.add_argument("--policy", help="a policy.json, or its SHA-256, that must have approved it")
    parser.add_argument("--revocations", type=Path, action="append", default=[], help="a list of what is no longer believed")
    options = parser.parse_args()
    try:
        public = [load_pem_public_key(path.read_bytes()) for path in options.key]
        trusted = {hashlib.sha256(key.public_bytes_raw()).hexdigest(): key for key in public}
        if (policy := options.policy) is not None and Path(policy).is_file():
            policy = hashlib.sha256(Path(policy).read_bytes()).hexdigest()
        main(options.folder, trusted, policy, options.revocations)
    except BROKEN as problem:
        must(False, f"what is there is garbled, or not in the form that synth writes: {problem!r}")
