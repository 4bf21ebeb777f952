"""Lineage: read by the `prov` package and by OpenLineage's own classes."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from synth.gate.lineage import openlineage, prov
from synth.gate.verdict import Attempt, Finding

WAIVER = {
    "check": "fidelity.trend", "owner": "Ada", "reason": "a pilot", "approver": "Carol", "keyid": "cd" * 32,
    "issued": "2026-01-01T00:00:00+00:00", "expires": "2026-02-01T00:00:00+00:00", "synthetic": "1" * 64,
    "policy_digest": "2" * 64,
}  # fmt: skip


def graph(content: bytes) -> Any:
    """The document as the `prov` package reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from prov.model import ProvDocument

        return ProvDocument.deserialize(content=content.decode(), format="json")


def relations(document: Any) -> set[tuple[str, str, str]]:
    """(relation, from, to), each end by its local name."""
    found = set()
    for record in document.get_records():
        if not record.is_element():
            (_, one), (_, other) = list(record.formal_attributes)[:2]
            found.add((record.get_type().localpart, one.localpart, other.localpart))
    return found


def test_prov_tells_what_came_from_what(made: SimpleNamespace) -> None:
    release = made.release()
    digests, model, uuid = release.digests, "ab" * 32, str(release.uuid)
    document = graph(prov(release))
    assert {
        ("Usage", "fit", digests["train"]), ("Generation", model, "fit"), ("Derivation", model, digests["train"]),
        ("Usage", "sample", model), ("Generation", digests["synthetic"], "sample"),
        ("Derivation", digests["synthetic"], model), ("Usage", "evaluate", digests["holdout"]),
        ("Generation", digests["measurements"], "evaluate"), ("Usage", "judge", release.verdict.policy_digest),
        ("Usage", "judge", digests["measurements"]), ("Generation", uuid, "approve"),
        ("Derivation", uuid, digests["synthetic"]), ("Association", "approve", "approver"),
        ("Association", "judge", "requester"), ("Attribution", uuid, "approver"),
    } <= relations(document)  # fmt: skip
    (approver,) = (a for a in document.get_records() if str(a.identifier) == "synth:approver")
    assert approver.label == "Ada"
    times = [r.args[2] for r in document.get_records() if r.get_type().localpart == "Generation"]
    assert [time for time in times if time is not None] == [datetime.fromisoformat(release.terms.at)]


def test_rows_of_unknown_origin_have_no_model(made: SimpleNamespace) -> None:
    document = json.loads(prov(made.release(replace(made.rows(), provenance=None))))
    assert not {"synth:fit", "synth:sample"} & set(document["activity"])
    event = json.loads(openlineage(made.release(replace(made.rows(), provenance=None))))
    assert "columnLineage" not in event["outputs"][0]["facets"]


def test_whoever_waived_a_check_is_named(made: SimpleNamespace) -> None:
    release = made.release()
    let_go = Finding("fidelity.trend", "fail", "block", "too far", "why not", waiver=WAIVER)
    release = replace(release, verdict=replace(release.verdict, findings=(*release.verdict.findings[:2], let_go)))
    assert ("Influence", "verdict", "waiver-1") in {(r, a.rsplit("/")[-1], b) for r, a, b in relations(graph(prov(release)))}
    assert "Carol" in prov(release).decode()
    (said,) = [a for a in assertions(json.loads(openlineage(release))) if a["assertion"] == "fidelity.trend"]
    assert said["success"] is False
    assert said["params"] == {"outcome": "fail", "waived": True}


def assertions(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = event["inputs"][-1]["inputFacets"]["dataQualityAssertions"]["assertions"]
    return found


def test_openlineage_s_own_classes_take_every_part(made: SimpleNamespace) -> None:
    from openlineage.client import event_v2 as ol
    from openlineage.client.generated import column_lineage_dataset as lineage
    from openlineage.client.generated import data_quality_assertions_dataset as quality
    from openlineage.client.generated import data_quality_metrics_dataset as metrics
    from openlineage.client.generated import lifecycle_state_change_dataset as lifecycle
    from openlineage.client.generated import output_statistics_output_dataset as statistics
    from openlineage.client.generated import processing_engine_run as engine
    from openlineage.client.generated import schema_dataset as schema

    release = made.release(made.kinds(), attempt=Attempt(2, 3))
    event = json.loads(openlineage(release))
    output = event["outputs"][0]

    def facet(kind: Any, content: dict[str, Any], **parts: Any) -> Any:
        plain = {key: value for key, value in content.items() if not key.startswith("_")}
        made_again = kind(**plain | parts)
        assert content["_schemaURL"] == made_again._schemaURL
        return made_again

    fields = [schema.SchemaDatasetFacetFields(**field) for field in output["facets"]["schema"]["fields"]]
    facet(schema.SchemaDatasetFacet, output["facets"]["schema"], fields=fields)
    facet(lifecycle.LifecycleStateChangeDatasetFacet, output["facets"]["lifecycleStateChange"])
    columns = output["facets"]["dataQualityMetrics"]["columnMetrics"]
    measured = {name: metrics.ColumnMetrics(**facts) for name, facts in columns.items()}
    facet(metrics.DataQualityMetricsDatasetFacet, output["facets"]["dataQualityMetrics"], columnMetrics=measured)
    came = {
        name: lineage.Fields(
            [
                lineage.InputField(**one | {"transformations": [lineage.Transformation(**t) for t in one["transformations"]]})
                for one in found["inputFields"]
            ]
        )
        for name, found in output["facets"]["columnLineage"]["fields"].items()
    }
    facet(lineage.ColumnLineageDatasetFacet, output["facets"]["columnLineage"], fields=came)
    facet(statistics.OutputStatisticsOutputDatasetFacet, output["outputFacets"]["outputStatistics"])
    facet(engine.ProcessingEngineRunFacet, event["run"]["facets"]["processing_engine"])
    judged = [quality.Assertion(**one) for one in assertions(event)]
    facet(
        quality.DataQualityAssertionsDatasetFacet,
        event["inputs"][-1]["inputFacets"]["dataQualityAssertions"],
        assertions=judged,
    )
    again = ol.RunEvent(
        eventTime=event["eventTime"], run=ol.Run(event["run"]["runId"]), eventType=ol.RunState[event["eventType"]],
        job=ol.Job(event["job"]["namespace"], event["job"]["name"]), producer=event["producer"],
        inputs=[ol.InputDataset(one["namespace"], one["name"]) for one in event["inputs"]],
        outputs=[ol.OutputDataset(output["namespace"], output["name"])],
    )  # fmt: skip
    assert again.schemaURL == event["schemaURL"]
    assert UUID(event["run"]["runId"]).version == 5
    assert "id" not in came  # the key is issued anew: it comes from no real column
    assert set(came) < set(columns)


def test_the_run_s_name_depends_on_the_figures_and_the_time_alone(made: SimpleNamespace) -> None:
    one, same = made.release(), made.release(layout="csv")
    later = made.release(under=made.terms(at="2026-01-02T00:00:00+00:00"))
    assert one.uuid == same.uuid != later.uuid != made.release(made.rows(1)).uuid


@pytest.mark.parametrize("document", [prov, openlineage])
def test_real_tables_go_by_digest_only(made: SimpleNamespace, document: Any) -> None:
    release = made.release()
    told = json.loads(document(release))
    named = told["entity"] if "entity" in told else {one["name"]: one for one in told["inputs"]}
    for side in ("train", "holdout"):
        ((_, facts),) = [(name, facts) for name, facts in named.items() if release.digests[side] in name]
        assert set(facts) <= {"prov:type", "synth:part", "namespace", "name", "facets"}
        assert not facts.get("facets")
