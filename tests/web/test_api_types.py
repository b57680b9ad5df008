"""The types of the web client are made from the server's OpenAPI document; this holds its copy to the server."""

from __future__ import annotations

import json
from pathlib import Path

from stable_core_server.app import OPERATIONS
from stable_core_server.operations import openapi_document

COPY = Path(__file__).parents[2] / "clients" / "web" / "openapi.json"


def test_the_copy_of_the_openapi_document_is_the_servers() -> None:
    document = openapi_document(OPERATIONS)
    assert json.loads(COPY.read_text("utf-8")) == json.loads(json.dumps(document)), (
        "the API has changed: run `just api` and look at what the web client makes of it"
    )
