"""The whole API, fuzzed from its own OpenAPI document by schemathesis, with authentication off and on.

Every operation gets generated parameters and bodies, right ones and wrong ones. Every answer must be one that the document
promises: its status, its media type, its schema. `make fuzz` does it at length.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import schemathesis
from fake_balancer import NOW_S, FakeBalancer
from guarded import Guarded
from hypothesis import HealthCheck, Phase, settings
from schemathesis.core.failures import FailureGroup

from plb_ray.settings import Settings
from service.api.app import create_app
from service.auth.roles import Role
from service.settings_view import settings_view
from tests.retrain.retrainings_here import RetrainingsHere, a_place

EXAMPLES = int(os.environ.get("PLB_FUZZ_EXAMPLES", "4"))
FOLDER = TemporaryDirectory(prefix="plb-fuzz-")
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 100,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    database=None,
)


def _retrainings():
    return RetrainingsHere(a_place(Path(FOLDER.name)))


def _open_app():
    shown = settings_view(Settings())
    return create_app(FakeBalancer(), now_s=lambda: NOW_S, retrainings=_retrainings(), settings=shown)


def _fuzzed(app):
    """Return the schema of an application. What contradicts itself (400) fits its schema: JSON Schema cannot say so."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    accepted = schema.config.checks.positive_data_acceptance
    accepted.expected_statuses = [*accepted.expected_statuses, "400"]
    return schema


GUARDED = Guarded(Path(FOLDER.name), FakeBalancer(), retrainings=_retrainings())
open_schema = _fuzzed(_open_app())
guarded_schema = _fuzzed(GUARDED.app)


@open_schema.parametrize()
@bounded
def test_every_answer_is_one_that_the_document_promises(case):
    """With authentication off."""
    case.call_and_validate()


@guarded_schema.parametrize()
@bounded
def test_the_same_with_authentication_on(case):
    """With an admin's token; schemathesis also asks without one and with a wrong one, which must be refused."""
    case.call_and_validate(headers={"Authorization": f"Bearer {GUARDED.tokens[Role.ADMIN]}"})


def test_a_broken_promise_would_be_found():
    """Negative control: an answer that does not fit its schema fails the check."""
    balancer = FakeBalancer()
    app = create_app(balancer, now_s=lambda: NOW_S)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    document = app.openapi()
    del document["paths"]["/healthz"]["get"]["responses"]["200"]
    case = schema["/healthz"]["GET"].Case()
    assert case.call().status_code == 200
    with pytest.raises(FailureGroup, match="Undocumented status code"):
        schemathesis.openapi.from_dict(document)["/healthz"]["GET"].Case().validate_response(case.call())
