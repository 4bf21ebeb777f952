"""Croissant 1.1 metadata with the RAI 1.0 vocabulary (MLCommons), as JSON-LD: true statements only."""

from __future__ import annotations

import json
import re
from typing import Any

from synth.data.schema import Column, Kind, Role
from synth.gate.budget_words import claim
from synth.gate.card import NO_CLAIM
from synth.gate.released import Release

SPECIFICATIONS = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
TYPES = {
    Kind.INTEGER: "sc:Integer",
    Kind.DECIMAL: "sc:Float",
    Kind.BOOLEAN: "sc:Boolean",
    Kind.DATETIME: "sc:DateTime",
}
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
LEVELS = {int: "sc:Integer", float: "sc:Float", bool: "sc:Boolean"}  # of categories that are no text
ENCODINGS = {
    "parquet": "application/x-parquet",  # the name that Croissant readers know, not the registered one
    "huggingface": "application/x-parquet",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.file",
    "sql": "text/plain",
}


def croissant(release: Release) -> bytes:
    """What the files of one layout are, and every column in them."""
    verdict, rows = release.verdict, release.rows
    columns = [(_identifier(column, place), column) for place, column in enumerate(rows.schema.columns)]
    keys = [{"@id": name} for name, column in columns if column.role is Role.KEY]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(SPECIFICATIONS),
        "name": f"synthetic-{verdict.policy}",
        "description": (
            f"{len(rows):,} synthetic rows, approved under {verdict.policy} {verdict.policy_version}; {release.attempt}. "
            f"The approval holds {release.validity}."
        ),
        "license": "none is stated; ask whoever passed the data on",
        "url": f"urn:uuid:{release.uuid}",
        "version": "1.0.0",
        "datePublished": release.terms.begins.date().isoformat(),
        "citeAs": _citation(release),
        "keywords": ["synthetic", "tabular"],
        "distribution": _distribution(release),
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "description": "One record for each synthetic row.",
                **({"key": keys[0] if len(keys) == 1 else keys} if keys else {}),
                "field": [_field(name, column, _source(release)) for name, column in columns],
            }
        ],
        **_responsible(release),
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _distribution(release: Release) -> list[dict[str, Any]]:
    """Each file of rows with its digest; those of one table in several parts also as a set."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{file.size} B",
            "encodingFormat": ENCODINGS[release.layout],
            "sha256": file.sha256,
        }
        for name, file in release.files.items()
    ]
    if release.layout == "sql":
        files[0]["description"] = "The text that `synth verify` makes of the database's rows again: what was signed for them."
    if release.layout == "huggingface":
        parts = {"encodingFormat": ENCODINGS["huggingface"], "includes": "data/train-*.parquet"}
        return [*files, {"@type": "cr:FileSet", "@id": "parts", "name": "parts", **parts}]
    return files


def _source(release: Release) -> dict[str, Any]:
    if release.layout == "huggingface":
        return {"fileSet": {"@id": "parts"}}
    (name,) = release.files
    return {"fileObject": {"@id": name}}


def _identifier(column: Column, place: int) -> str:
    """A name for the field: the column's own, where that can stand in an IRI as it is; readers refuse one with spaces."""
    return f"rows/{column.name}" if _PLAIN.fullmatch(column.name) else f"rows/column/{place}"


def _field(name: str, column: Column, source: dict[str, Any]) -> dict[str, Any]:
    level = type(column.categories[0]) if column.categories else str
    kind = TYPES.get(column.kind) or LEVELS.get(level, "sc:Text")
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": column.name,
        "description": f"{column.kind}, {column.role}",
        "dataType": "sc:Date" if column.kind is Kind.DATETIME and column.unit == "day" else kind,
        "source": {**source, "extract": {"column": column.name}},
    }


def _citation(release: Release) -> str:
    """BibTeX of what is known: no author, since nobody is named as one."""
    words = f"{release.made_by}; SHA-256 of the rows {release.digests['synthetic']}"
    key = f"synthetic-{release.uuid.hex[:8]}"
    return f"@misc{{{key}, title={{{release.title}}}, year={{{release.terms.begins.year}}}, note={{{words}}}}}"


def _responsible(release: Release) -> dict[str, Any]:
    """The RAI part."""
    verdict, origin = release.verdict, release.origin
    sensitive = [column.name for column in release.rows.schema.sensitive]
    fairness = [f for f in verdict.findings if f.check.startswith("fairness.")]
    open_ones = sorted({f.check for f in fairness if f.outcome not in ("pass", "report", "absent")})
    waived = [f"Waived until {w['expires']}: {w['check']}; {w['owner']} answers for it: {w['reason']}" for w in verdict.waivers]
    collection = "Synthetic rows from a source that synth did not make."
    if origin is not None:
        under = f", under the condition {origin.condition}" if origin.condition else ""
        collection = (
            f"Synthetic: drawn from the generator {origin.generator} of {release.made_by}, fitted to a real table{under}."
        )
    biases = "No figure on fairness was judged." if not fairness else "Every figure on fairness that was judged passed."
    if open_ones:
        biases = f"Figures on fairness that did not pass: {', '.join(open_ones)}."
    return {
        "rai:dataCollection": collection,
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataAnnotationProtocol": ["Nobody annotated these rows; the target, if there is one, is drawn like every column."],
        "rai:dataBiases": [
            biases,
            "Synthetic rows repeat the biases of the real ones, and rows that show parity do not make a model fair.",
        ],
        "rai:dataLimitations": [
            "No conclusion about single records, or about groups that the figures in README.md do not name.",
            NO_CLAIM if release.privacy is None else f"{claim(release.privacy)}; README.md says what that is worth.",
            *waived,
        ],
        "rai:dataUseCases": [str(release.policy.get("title", f"What the policy {verdict.policy} is for."))],
        "rai:dataReleaseMaintenancePlan": f"The approval holds {release.validity}; it may be revoked before.",
        "rai:personalSensitiveInformation": (
            [f"synthetic values of {name}, which was named as sensitive" for name in sensitive]
            or ["No column was named as sensitive."]
        ),
    }


# The context that the specification prescribes, key by key, so that readers without a network know it.
_CR = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _CR.split()},
}
