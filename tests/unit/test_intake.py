"""Monitors' payloads -> alerts: read strictly where it matters, tolerant of what is new, never surprised by bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from domain.alerts import Alert, Severity
from domain.canonical import canonical
from domain.codec import encode
from domain.errors import BadInput
from handlers.intake import parsed
from handlers.sources import MOST_ALERTS, SOURCES, Reading


def reading() -> Reading:
    return Reading(
        lambda text: text.replace("hunter2", "[redacted]"), lambda ns: "staging" if ns == "stage" else "production"
    )


def alert(**more: Any) -> dict[str, Any]:
    labels = {"alertname": "KubePodCrashLooping", "namespace": "shop", "deployment": "checkout", "severity": "critical"}
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "restarts", "description": "5 in 10 min", "runbook_url": "https://runbooks/x"},
        "startsAt": "2026-03-01T12:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "a1b2c3d4e5f60718",
    } | more


def webhook(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"version": "4", "groupKey": '{}:{namespace="shop"}', "status": "firing", "receiver": "agent"}
    return body | {"alerts": list(alerts or (alert(),)), "externalURL": "http://am"} | more


def read(name: str, payload: Any) -> list[Alert]:
    return SOURCES[name](payload, reading())


def refused(name: str, payload: Any) -> str:
    with pytest.raises(BadInput) as error:
        read(name, payload)
    return error.value.field


def test_an_alertmanager_alert_is_read_in_full() -> None:
    (one,) = read("alertmanager", webhook())
    assert one.fingerprint == "a1b2c3d4e5f60718"
    assert (one.firing, one.name, one.source, one.severity) == (
        True,
        "KubePodCrashLooping",
        "alertmanager",
        Severity.CRITICAL,
    )
    assert one.starts_at == datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
    assert one.ends_at is None
    assert (one.summary, one.description, one.runbook_url) == ("restarts", "5 in 10 min", "https://runbooks/x")
    assert one.group == '{}:{namespace="shop"}'
    assert str(one.target) == "shop/deployment/checkout"
    assert one.target.environment == "production"


def test_a_resolved_alert_has_its_end() -> None:
    (one,) = read("alertmanager", webhook(alert(status="resolved", endsAt="2026-03-01T13:00:00+01:00")))
    assert not one.firing
    assert one.ends_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_unknown_fields_and_missing_optional_ones_are_no_error() -> None:
    payload = {
        "alerts": [{"status": "firing", "labels": {"alertname": "X"}, "new": {"deep": [1]}}],
        "truncatedAlerts": 3,
    }
    (one,) = read("alertmanager", payload)
    assert one.name == "X"
    assert len(one.fingerprint) == 16, "made from the labels where the monitor sends none"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "alerts"),
        ({"alerts": {}}, "alerts"),
        ({"alerts": []}, "alerts"),
        (webhook(version="3"), "version"),
        (webhook(groupKey=7), "groupKey"),
        ({"alerts": ["x"]}, "alerts[0]"),
        (webhook(alert(), alert(status="maybe")), "alerts[1].status"),
        (webhook(alert(labels=[1])), "alerts[0].labels"),
        (webhook(alert(labels={"a": {"b": 1}})), "alerts[0].labels.a"),
        (webhook(alert(annotations="x")), "alerts[0].annotations"),
        (webhook(alert(startsAt="yesterday")), "alerts[0].startsAt"),
        (webhook(alert(startsAt=12)), "alerts[0].startsAt"),
        ({"alerts": [alert()] * (MOST_ALERTS + 1)}, "alerts"),
    ],
)
def test_a_wrong_alertmanager_field_is_named(payload: Any, field: str) -> None:
    assert refused("alertmanager", payload) == field


def test_secrets_are_taken_out_of_every_part() -> None:
    labels = {"alertname": "X hunter2", "note": "hunter2"}
    one = alert(
        labels=labels, annotations={"summary": "hunter2", "description": "pw hunter2"}, generatorURL="http://x/hunter2"
    )
    (got,) = read("alertmanager", webhook(one, groupKey="hunter2"))
    assert "hunter2" not in repr(got)
    assert got.description == "pw [redacted]"


def test_a_redactor_sees_the_name_of_what_it_redacts() -> None:
    seen = Reading(lambda text: text.replace("password=x", "password=[redacted]"), lambda _: "production")
    (got,) = SOURCES["alertmanager"](webhook(alert(labels={"alertname": "A", "password": "x"})), seen)
    assert got.labels["password"] == "[redacted]"


def test_a_redactor_that_swallows_separators_is_asked_again_one_by_one() -> None:
    greedy = Reading(lambda text: "[redacted]" if "hunter2" in text else text, lambda _: "production")
    (got,) = SOURCES["alertmanager"](
        webhook(alert(labels={"alertname": "A", "pw": "hunter2", "namespace": "shop"})), greedy
    )
    assert got.labels == {"alertname": "A", "pw": "[redacted]", "namespace": "shop"}


def test_hidden_characters_are_shown_and_long_values_cut_and_the_alert_says_so() -> None:
    labels = {"alertname": "A\u202eB\x00", "huge": "x" * 500_000, "namespace": "shop"}
    (got,) = read("alertmanager", webhook(alert(labels=labels)))
    assert got.name == "A⟨U+202E⟩B⟨U+0000⟩"
    assert len(got.labels["huge"]) == 1000
    assert "Changed on the way in: hidden characters in alertname; huge had 500000 characters." in got.description


def test_hundreds_of_labels_are_cut_to_the_first_few() -> None:
    labels = {"alertname": "A"} | {f"l{n}": str(n) for n in range(500)}
    (got,) = read("alertmanager", webhook(alert(labels=labels)))
    assert len(got.labels) == 64
    assert "501 labels" in got.description


def test_grafana_is_read_like_alertmanager_with_its_own_version() -> None:
    (got,) = read("grafana", webhook(alert(), version="1", orgId=1, state="alerting", title="[FIRING:1]"))
    assert (got.source, got.name) == ("grafana", "KubePodCrashLooping")


def pagerduty(kind: str = "incident.triggered", **data: Any) -> dict[str, Any]:
    incident = {
        "id": "PGR0VU2",
        "title": "Checkout is down",
        "urgency": "high",
        "service": {"summary": "checkout"},
    } | data
    return {"event": {"id": "01", "event_type": kind, "occurred_at": "2026-03-01T12:00:00Z", "data": incident}}


def test_pagerduty_triggers_and_resolves_one_incident() -> None:
    (fired,), (resolved,) = read("pagerduty", pagerduty()), read("pagerduty", pagerduty("incident.resolved"))
    assert fired.fingerprint == resolved.fingerprint == "pagerduty:PGR0VU2"
    assert (fired.firing, resolved.firing) == (True, False)
    assert fired.severity is Severity.CRITICAL
    assert read("pagerduty", pagerduty("incident.annotated")) == []
    assert refused("pagerduty", {"event": {"event_type": 1}}) == "event.event_type"
    assert refused("pagerduty", pagerduty(id="")) == "event.data.id"


def test_a_generic_alert_needs_a_name_and_nothing_else() -> None:
    (got,) = read("generic", {"name": "disk full", "labels": {"namespace": "stage", "pod": "pg-0"}, "severity": "info"})
    assert (got.name, got.target.environment, got.severity) == ("disk full", "staging", Severity.INFO)
    assert len(read("generic", [{"title": "a"}, {"name": "b"}])) == 2
    assert len(read("generic", {"alerts": [{"name": "a", "status": "resolved"}]})) == 1
    assert refused("generic", {"alerts": [{"name": "a"}, {"labels": {}}]}) == "alerts[1].name"
    assert refused("generic", {"name": "a", "status": "x"}) == "alerts[0].status"
    assert refused("generic", {"name": "a", "fingerprint": 5}) == "alerts[0].fingerprint"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"alerts": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 10_000,
        b'"\\ud800"',
        b"null",
        json.dumps(webhook(alert(labels={"alertname": "\ud800"}))).encode(),
    ],
)
def test_bytes_that_are_no_webhook_are_bad_input_or_an_alert_and_nothing_else(body: bytes) -> None:
    for parser in SOURCES.values():
        alerts, field = taken(lambda parser=parser: parsed(body, parser, reading()))  # type: ignore[misc]
        assert alerts or field or parser is SOURCES["pagerduty"]
        assert all(canonical(encode(one)) for one in alerts)


def taken(read_it: Callable[[], list[Alert]]) -> tuple[list[Alert], str]:
    """The alerts, or the field that was refused; any other error is a failure."""
    try:
        return read_it(), ""
    except BadInput as error:
        return [], error.field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["firing", "resolved"]) | JSON,
        "labels": st.dictionaries(st.text(max_size=20), st.text(max_size=80)) | JSON,
        "annotations": st.dictionaries(st.text(max_size=20), st.text(max_size=80)) | JSON,
        "startsAt": st.sampled_from(["2026-01-01T00:00:00Z", ""]) | JSON,
        "fingerprint": JSON,
        "name": JSON,
        "generatorURL": JSON,
    },
)
ENVELOPE = st.fixed_dictionaries(
    {},
    optional={"alerts": st.lists(FIELDS, max_size=3) | JSON, "groupKey": JSON, "event": FIELDS | JSON, "version": JSON},
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payload=ENVELOPE | JSON, name=st.sampled_from(sorted(SOURCES)))
def test_any_json_is_alerts_that_the_journal_can_hold_or_bad_input_with_a_field(payload: Any, name: str) -> None:
    alerts, field = taken(lambda: SOURCES[name](payload, reading()))
    assert alerts or field or name == "pagerduty"
    for one in alerts:
        assert canonical(encode(one))
        assert one.fingerprint
        assert one.name
        assert "\x00" not in repr(encode(one))
