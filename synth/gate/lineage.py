"""Where approved rows came from, for machines: W3C PROV as PROV-JSON, and an OpenLineage event. Real rows go by digest only."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.compute as pc

from synth import __version__
from synth.data.schema import Column
from synth.gate.forms import type_text
from synth.gate.released import Release
from synth.gate.verdict import Finding

ENDS = {  # what each PROV relation leads from and to
    "used": ("activity", "entity"),
    "wasGeneratedBy": ("entity", "activity"),
    "wasDerivedFrom": ("generatedEntity", "usedEntity"),
    "wasAssociatedWith": ("activity", "agent"),
    "wasAttributedTo": ("entity", "agent"),
    "wasInfluencedBy": ("influencee", "influencer"),
    "actedOnBehalfOf": ("delegate", "responsible"),
}
PRODUCER = f"urn:synth:{__version__}"
NAMESPACE = "urn:sha256"  # what data sets are named by in OpenLineage: their digests
DECLARED = "urn:synth:dataset"  # ... or by the name that the ledger knows them by
FACETS = "https://openlineage.io/spec/facets"
SEVERITIES = {"block": "error", "warn": "warn", "report": "info"}


# W3C PROV ----------------------------------------------------------------------------------------------------------------


def prov(release: Release) -> bytes:
    """PROV-JSON (W3C member submission 2013): what was used, made and derived, by which activity, on whose behalf.

    The entities that are files are named by their SHA-256; the export, which holds this document, by the release's UUID.
    """
    graph = _Graph()
    digests, verdict, terms = release.digests, release.verdict, release.terms
    synthetic = graph.entity(f"sha256:{digests['synthetic']}", "SyntheticTable", {"synth:rows": len(release.rows)})
    real = _real(graph, release)
    figures = graph.entity(f"sha256:{digests['measurements']}", "Measurements")
    policy = graph.entity(
        f"sha256:{verdict.policy_digest}", "Policy", {"synth:name": verdict.policy, "synth:version": verdict.policy_version}
    )
    judgement = graph.entity(f"release:{release.uuid}/verdict", "Verdict", {"synth:attempt": release.attempt})
    export = graph.entity(f"release:{release.uuid}", "Export", {"synth:layout": release.layout, "synth:expires": terms.expires})
    requester = graph.agent("requester", terms.requested_by, "prov:SoftwareAgent", {"synth:keyid": terms.requester})
    approver = graph.agent("approver", release.by, "prov:Agent")

    made = None if release.origin is None else _made(graph, release, real[0], synthetic)
    evaluate, judge, approve = (graph.activity(name) for name in ("evaluate", "judge", "approve"))
    compared = real if release.privacy is None else [made] if made is not None else []  # with noisy counts that the model holds
    for used in (*compared, synthetic):
        graph.relate("used", evaluate, used)
    graph.relate("wasGeneratedBy", figures, evaluate)
    for used in (figures, policy):
        graph.relate("used", judge, used)
    graph.relate("wasGeneratedBy", judgement, judge)
    for used in (judgement, synthetic):
        graph.relate("used", approve, used)
    graph.relate("wasGeneratedBy", export, approve, {"prov:time": terms.at})
    graph.relate("wasDerivedFrom", export, synthetic)
    graph.relate("wasDerivedFrom", judgement, figures)
    graph.relate("wasAssociatedWith", judge, requester)
    graph.relate("wasAssociatedWith", approve, approver)
    graph.relate("wasAttributedTo", export, approver)
    graph.relate("actedOnBehalfOf", requester, approver)
    for number, waiver in enumerate(verdict.waivers, start=1):
        facts = {"synth:waived": waiver["check"], "synth:owner": waiver["owner"], "synth:keyid": waiver["keyid"]}
        graph.relate("wasInfluencedBy", judgement, graph.agent(f"waiver-{number}", waiver["approver"], "prov:Agent", facts))
    return _json(graph.document)


def _real(graph: _Graph, release: Release) -> list[str]:
    """The real tables, training rows first: by digest, or under a privacy budget, which a digest would not keep, by name."""
    if release.privacy is not None:
        spent = {"synth:ledgerEntry": release.privacy["entry"], "synth:ledgerDigest": release.privacy["entry_digest"]}
        return [graph.entity(f"synth:dataset-{release.privacy['dataset']}", "RealTable", spent)]
    return [graph.entity(f"sha256:{release.digests[side]}", "RealTable", {"synth:part": side}) for side in _sides(release)]


def _made(graph: _Graph, release: Release, train: str, synthetic: str) -> str:
    """The model, and the two activities that made rows of a real table."""
    origin = release.origin
    assert origin is not None
    model = graph.entity(f"sha256:{origin.model_digest}", "Model", {"synth:generator": origin.generator})
    fit = graph.activity("fit")
    sample = graph.activity(
        "sample", {"synth:seed": origin.seed} | ({"synth:where": origin.condition} if origin.condition else {})
    )
    graph.relate("used", fit, train)
    graph.relate("wasGeneratedBy", model, fit)
    graph.relate("wasDerivedFrom", model, train)
    graph.relate("used", sample, model)
    graph.relate("wasGeneratedBy", synthetic, sample)
    graph.relate("wasDerivedFrom", synthetic, model)
    return model


class _Graph:
    """A PROV document that grows."""

    def __init__(self) -> None:
        prefixes = {"synth": "urn:synth:", "sha256": "urn:sha256:", "release": "urn:uuid:"}
        self.document: dict[str, Any] = {"prefix": prefixes, "entity": {}, "activity": {}, "agent": {}}
        self._relations = 0

    def entity(self, name: str, kind: str, facts: dict[str, Any] | None = None) -> str:
        self.document["entity"][name] = {"prov:type": _named(f"synth:{kind}"), **(facts or {})}
        return name

    def activity(self, name: str, facts: dict[str, Any] | None = None) -> str:
        self.document["activity"][f"synth:{name}"] = facts or {}
        return f"synth:{name}"

    def agent(self, name: str, words: str, kind: str, facts: dict[str, Any] | None = None) -> str:
        self.document["agent"][f"synth:{name}"] = {"prov:type": _named(kind), "prov:label": words, **(facts or {})}
        return f"synth:{name}"

    def relate(self, relation: str, one: str, other: str, facts: dict[str, Any] | None = None) -> None:
        first, second = ENDS[relation]
        self._relations += 1
        ends = {f"prov:{first}": one, f"prov:{second}": other}
        self.document.setdefault(relation, {})[f"_:r{self._relations}"] = {**ends, **(facts or {})}


def _named(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


# OpenLineage -------------------------------------------------------------------------------------------------------------


def openlineage(release: Release) -> bytes:
    """One RunEvent that is complete (OpenLineage 2-0-2): from the real tables to the synthetic one.

    The synthetic table also stands among the inputs, since it was measured: what was asserted of it belongs there.
    """
    digests, verdict = release.digests, release.verdict
    event = {
        "eventType": "COMPLETE",
        "eventTime": release.terms.at,
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(release.uuid),
            "facets": {
                "processing_engine": _facet("1-1-1/ProcessingEngineRunFacet", version=__version__, name="synth"),
                "nominalTime": _facet("1-0-1/NominalTimeRunFacet", nominalStartTime=release.terms.at),
            },
        },
        "job": {"namespace": "urn:synth", "name": f"release/{verdict.policy}", "facets": {}},
        "inputs": [
            *(name | {"facets": {}} for name in _inputs(release)),
            {
                "namespace": NAMESPACE,
                "name": digests["synthetic"],
                "facets": {},
                "inputFacets": {
                    "dataQualityAssertions": _facet(
                        "1-1-0/DataQualityAssertionsDatasetFacet",
                        assertions=[_assertion(f) for f in verdict.findings if f.outcome not in ("report", "absent")],
                    )
                },
            },
        ],
        "outputs": [
            {
                "namespace": NAMESPACE,
                "name": digests["synthetic"],
                "facets": _output_facets(release),
                "outputFacets": {
                    "outputStatistics": _facet(
                        "1-0-2/OutputStatisticsOutputDatasetFacet",
                        rowCount=len(release.rows),
                        size=sum(file.size for file in release.files.values()),
                        fileCount=len(release.files),
                    )
                },
            }
        ],
    }
    return _json(event)


def _output_facets(release: Release) -> dict[str, Any]:
    columns = release.rows.schema.columns
    facets = {
        "schema": _facet(
            "1-2-0/SchemaDatasetFacet",
            fields=[
                {
                    "name": column.name,
                    "type": type_text(release.rows.column(column.name).type),
                    "description": f"{column.kind}, {column.role}",
                    "ordinal_position": place,
                }
                for place, column in enumerate(columns, start=1)
            ],
        ),
        "lifecycleStateChange": _facet("1-0-1/LifecycleStateChangeDatasetFacet", lifecycleStateChange="CREATE"),
        "dataQualityMetrics": _facet(
            "1-0-1/DataQualityMetricsDatasetFacet",
            rowCount=len(release.rows),
            columnMetrics={column.name: _metrics(release, column) for column in columns},
        ),
    }
    if release.origin is not None:  # else nobody knows what became of which column
        facets["columnLineage"] = _facet(
            "1-2-0/ColumnLineageDatasetFacet",
            fields={column.name: _came_from(release, column) for column in columns if column.is_learned},
        )
    return facets


def _came_from(release: Release, column: Column) -> dict[str, Any]:
    """A learned column comes from the real one of its name, through a model of all; no value is handed on as such."""
    words = f"drawn from a model ({release.origin.generator}) of this column and the others" if release.origin else ""
    change = {"type": "DIRECT", "subtype": "AGGREGATION", "description": words, "masking": True}
    source = {**_inputs(release)[0], "field": column.name, "transformations": [change]}
    return {"inputFields": [source]}


def _metrics(release: Release, column: Column) -> dict[str, Any]:
    """Of the synthetic rows, which leave anyway."""
    values = release.rows.column(column.name)
    return {"nullCount": values.null_count, "distinctCount": len(pc.unique(values.drop_null())), "count": len(values)}


def _assertion(finding: Finding) -> dict[str, Any]:
    said = {
        "assertion": finding.check,
        "success": finding.outcome == "pass",
        "severity": SEVERITIES[finding.severity],
        "description": finding.why,
        "params": {"outcome": finding.outcome, "waived": finding.waiver is not None},
    }
    if finding.limit is not None:
        said["expected"] = f"limit {finding.limit:g}"
    if finding.value is not None:
        said["actual"] = f"{finding.value:g}"
    return said


def _facet(schema: str, **content: Any) -> dict[str, Any]:
    """A facet of the specification, by its version and name."""
    name = schema.rsplit("/", 1)[-1]
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/{schema}.json#/$defs/{name}", **content}


def _inputs(release: Release) -> list[dict[str, str]]:
    """The real tables as OpenLineage names them, training rows first."""
    if release.privacy is not None:
        return [{"namespace": DECLARED, "name": release.privacy["dataset"]}]
    return [{"namespace": NAMESPACE, "name": release.digests[side]} for side in _sides(release)]


def _sides(release: Release) -> list[str]:
    """Which real tables were used: holdout rows are not always there."""
    return [side for side in ("train", "holdout") if release.digests.get(side)]


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
