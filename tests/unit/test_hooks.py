"""Builds of CI systems -> alerts: failed fires, green resolves, stopped is neither; and any body is alerts or a sentence."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, strategies as st

from domain.alerts import Alert, Severity
from domain.canonical import canonical
from domain.codec import encode
from domain.errors import BadInput
from handlers.hooks import HOOKS, bearer, bearer_or_password
from handlers.sources import Reading
from tests.unit.test_intake import JSON, taken

COMMIT = "c6d86dc654b12425e706bcf951adfe5a8627a517"


def reading() -> Reading:
    def environment(*places: str) -> str:
        return "staging" if any(place.endswith("@TARGET:staging") for place in places) else "production"

    return Reading(lambda text: text.replace("hunter2", "[redacted]"), environment)


def notification(status: str | None = "FAILURE", phase: str = "FINALIZED", **build: Any) -> dict[str, Any]:
    """What the notification plugin sends."""
    state = {
        "full_url": "https://ci.acme.dev/job/shop/job/checkout/job/main/234/",
        "number": 234,
        "queue_id": 1019,
        "timestamp": 1764300000000,
        "duration": 41000,
        "phase": phase,
        "url": "job/shop/job/checkout/job/main/234/",
        "scm": {
            "url": "https://git.acme.dev/shop/checkout.git",
            "branch": "main",
            "commit": COMMIT,
            "changes": [],
            "culprits": [],
        },
        "parameters": {},
        "log": "",
        "notes": "",
        "test_summary": {"total": 3, "failed": 1, "passed": 2, "skipped": 0, "failed_tests": ["a.TaxTest.rounds"]},
        "artifacts": {},
    }
    state |= {} if status is None else {"status": status}
    return {"name": "main", "display_name": "main", "url": "job/shop/job/checkout/job/main/", "build": state | build}


def read(payload: Any) -> list[Alert]:
    return HOOKS["jenkins"].parser(payload, reading())


def test_a_failed_build_fires_about_its_job_and_says_what_failed() -> None:
    [one] = read(notification())
    assert (one.fingerprint, one.firing, one.source, one.severity) == (
        "jenkins:shop/checkout/main", True, "jenkins", Severity.WARNING,
    )  # fmt: skip
    assert one.summary == "Build shop/checkout/main #234 failed"
    assert one.description == f"1 of 3 tests failed: a.TaxTest.rounds.\nCommit {COMMIT}."
    assert (one.target.system, one.target.namespace, one.target.kind, one.target.name, one.target.environment) == (
        "jenkins", "shop/checkout", "JenkinsJob", "main", "production",
    )  # fmt: skip
    assert one.labels["build"] == "234"
    assert one.url == "https://ci.acme.dev/job/shop/job/checkout/job/main/234/"
    assert one.ends_at is None
    assert one.starts_at.isoformat() == "2025-11-28T03:20:00+00:00"


@pytest.mark.parametrize(
    ("status", "phase", "firing"),
    [
        ("FAILURE", "COMPLETED", [True]),
        ("FAILURE", "FINALIZED", [True]),
        ("UNSTABLE", "COMPLETED", [True]),
        ("UNSTABLE", "FINALIZED", [True]),
        ("SUCCESS", "FINALIZED", [False]),
        ("SUCCESS", "COMPLETED", []),  # a publisher may still make it worse
        ("ABORTED", "COMPLETED", []),
        ("ABORTED", "FINALIZED", []),
        ("NOT_BUILT", "FINALIZED", []),
        ("FAILURE", "STARTED", []),  # of the build before
        ("SUCCESS", "STARTED", []),
        (None, "STARTED", []),
        (None, "QUEUED", []),
        (None, "FINALIZED", []),
    ],
)
def test_failed_fires_green_resolves_and_anything_else_is_neither(
    status: str | None, phase: str, firing: list[bool]
) -> None:
    assert [one.firing for one in read(notification(status, phase))] == firing


def test_the_next_green_build_resolves_what_the_failed_one_fired() -> None:
    [failed], [green] = read(notification("UNSTABLE")), read(notification("SUCCESS", number=235))
    assert failed.fingerprint == green.fingerprint
    assert failed.summary.endswith("is unstable")
    assert green.ends_at == green.starts_at


def test_a_branch_with_a_slash_keeps_the_name_that_jenkins_knows_it_by() -> None:
    payload = notification() | {"url": "job/shop/job/checkout/job/feature%252Ftaxes/"}
    [one] = read(payload)
    assert (one.target.namespace, one.target.name) == ("shop/checkout", "feature%2Ftaxes")


def test_a_job_that_deploys_here_and_there_is_two_problems() -> None:
    deploy = {"url": "job/shop/job/deploy/"}
    [staging] = read(notification(parameters={"TARGET": "staging"}) | deploy)
    [live] = read(notification(parameters={"TARGET": "production"}) | deploy)
    assert (staging.target.environment, staging.fingerprint) == ("staging", "jenkins:shop/deploy@staging")
    assert (live.target.environment, live.fingerprint) == ("production", "jenkins:shop/deploy")
    [tricked] = read(notification(parameters={"TARGET": "production", "NOTE": "@TARGET:staging"}) | deploy)
    assert tricked.target.environment == "production"


def test_parameters_never_become_labels_for_they_may_be_anything() -> None:
    [one] = read(notification(parameters={"namespace": "payments", "password": "hunter2", "deployment": "x"}))
    assert set(one.labels) == {"alertname", "job", "build", "result", "branch", "commit"}
    assert "hunter2" not in repr(one)


def test_secrets_and_hidden_characters_are_taken_out_of_every_part() -> None:
    tests = {"total": 1, "failed": 1, "failed_tests": ["hunter2\u202e"]}
    payload = notification(test_summary=tests, full_url="https://ci/hunter2", scm={"branch": "hunter2"})
    [one] = read(payload)
    assert "hunter2" not in repr(one)
    assert "⟨U+202E⟩" in one.description


def test_an_endless_name_is_cut_and_still_one_problem() -> None:
    payload = notification() | {"url": "job/" + "x" * 399 + "/job/" + "y" * 399 + "/"}
    [one], [again] = read(payload), read(payload)
    assert len(one.fingerprint) <= 128
    assert one.fingerprint == again.fingerprint


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "build"),
        ({"build": 1}, "build"),
        (notification(phase="DONE"), "build.phase"),
        (notification("BROKEN"), "build.status"),
        (notification() | {"url": 7}, "url"),
        (notification() | {"url": "view/all/"}, "url"),
        (notification() | {"url": "job/%2F/"}, "url"),
        (notification(number="1"), "build.number"),
        (notification(number=True), "build.number"),
        (notification(number=0), "build.number"),
    ],
)
def test_a_wrong_field_is_named(payload: Any, field: str) -> None:
    with pytest.raises(BadInput) as error:
        read(payload)
    assert error.value.field == field


BUILDS = st.fixed_dictionaries(
    {"url": st.sampled_from(["job/a/", "job/a/job/b%252Fc/", "x"]) | JSON},
    optional={
        "name": JSON,
        "build": JSON
        | st.fixed_dictionaries(
            {"phase": st.sampled_from(["COMPLETED", "FINALIZED", "STARTED"]), "number": st.integers(1, 9) | JSON},
            optional={
                "status": st.sampled_from(["SUCCESS", "FAILURE", "UNSTABLE", "ABORTED"]) | JSON,
                "parameters": JSON,
                "scm": JSON,
                "test_summary": JSON,
                "timestamp": JSON,
                "full_url": JSON,
            },
        ),
    },
)


@given(payload=BUILDS | JSON, name=st.sampled_from(sorted(HOOKS)))
def test_any_json_is_alerts_that_the_journal_can_hold_or_bad_input_with_a_field(payload: Any, name: str) -> None:
    alerts, _ = taken(lambda: HOOKS[name].parser(payload, reading()))
    for one in alerts:
        assert canonical(encode(one))
        assert one.fingerprint
        assert one.target.system not in ("", "kubernetes")


# --- how a request shows that it may


def basic(login: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(login.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "token", "password"),
    [
        ({"authorization": "Bearer abc"}, "abc", "abc"),
        ({"authorization": "bearer  abc "}, "abc", "abc"),
        (basic("jenkins:abc"), "", "abc"),
        (basic(":a:b:c"), "", "a:b:c"),
        (basic("abc"), "", ""),
        ({"authorization": "Basic !!!"}, "", ""),
        ({"authorization": "abc"}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_secret_is_a_bearer_token_or_for_jenkins_also_a_password(
    headers: dict[str, str], token: str, password: str
) -> None:
    assert (bearer(headers), bearer_or_password(headers)) == (token, password)


@given(st.text(max_size=60))
def test_any_header_shows_something_or_nothing(given_header: str) -> None:
    for scheme in ("Basic ", "Bearer ", ""):
        assert isinstance(bearer_or_password({"authorization": scheme + given_header}), str)
