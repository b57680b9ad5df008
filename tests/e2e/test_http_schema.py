"""The OpenAPI document is valid, and no request that it allows, nor one that it forbids, makes the server fail."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import schemathesis
from running_server import DEADLINE_SECONDS, RunningServer
from schemathesis import checks

EXAMPLES = 10
STREAM = "/v1/events"
"""It never ends, so it cannot be asked like the others."""


CHECKS = [checks.not_a_server_error, checks.content_type_conformance, checks.response_schema_conformance]


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(300)
def test_no_request_makes_the_server_fail(shared_server: RunningServer) -> None:
    schema = schemathesis.openapi.from_url(f"{shared_server.url}/openapi.json").exclude(path=STREAM)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            ask_many_times(operation, mode)


def ask_many_times(operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        case.validate_response(case.call(timeout=DEADLINE_SECONDS), checks=CHECKS)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # a route without parameters cannot be asked wrongly


def test_the_document_is_valid(shared_server: RunningServer) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(shared_server.client._call("GET", "/openapi.json"))


def test_the_server_is_well_after_all_that(server: RunningServer, tmp_path: Path) -> None:
    job = server.ended(server.submit("calm.echo", "still here"))
    assert server.text_of(job) == "still here"
