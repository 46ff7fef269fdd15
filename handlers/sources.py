"""What monitors send -> Alert, one function per monitor. Pure: unknown fields are ignored, wrong ones are named.

A function takes the parsed JSON and the Reading, and returns the alerts; it raises BadInput with the field. Control,
bidirectional and zero-width characters are shown as their code points, absurdly long values are cut, and the alert's
description says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.alerts import Alert, Severity, fingerprint, target_of
from domain.canonical import plain
from domain.errors import BadInput

MOST_ALERTS = 2000
_MOST_LABELS, _LONGEST_NAME, _LONGEST_VALUE, _LONGEST_TEXT = 64, 200, 1000, 8000
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_PRINTABLE = re.compile("[\t\n\r -~]*")  # ASCII needs no second look
_SEPARATOR = "\x1f"
_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "high": Severity.CRITICAL,
    "error": Severity.CRITICAL,
    "info": Severity.INFO,
    "information": Severity.INFO,
    "low": Severity.INFO,
    "none": Severity.INFO,
}


@dataclass
class Reading:
    """One payload being read: redacts and cleans every text of it, and notes what was changed."""

    redact: Callable[[str], str]
    environment: Callable[..., str]
    known: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)

    def learn(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Redact every `name=value` at once: a pattern needs the name to know a secret, and one call is fast."""
        fresh = [f"{name}={value}" for name, value in pairs if value]
        fresh = [text for text in dict.fromkeys(fresh) if text not in self.known and _SEPARATOR not in text]
        together = self.redact(_SEPARATOR.join(fresh)).split(_SEPARATOR) if fresh else []
        if len(together) != len(fresh):
            together = [self.redact(text) for text in fresh]
        self.known.update(zip(fresh, together, strict=True))

    def text(self, name: str, value: Any, most: int = _LONGEST_TEXT) -> str:
        """One text: redacted, no hidden characters, at most so long."""
        if value is None or value == "":
            return ""
        whole = f"{name}={value}"
        seen = self.known.get(whole)
        if seen is None:
            seen = self.known[whole] = self.redact(whole)
        text = seen[len(name) + 1 :] if seen.startswith(f"{name}=") else seen
        if not _PRINTABLE.fullmatch(text):
            shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
            if shown != text:
                self.cut.add(f"hidden characters in {name}")
            text = shown
        if len(text) > most:
            self.cut.add(f"{name} had {len(text)} characters")
            text = text[: most - 1] + "…"
        return text

    def labels(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Labels, cleaned; the first 64."""
        if len(values) > _MOST_LABELS:
            self.cut.add(f"{len(values)} labels")
        chosen = list(values.items())[:_MOST_LABELS]
        return {self._name(name): self.text(name[:_LONGEST_NAME], value, _LONGEST_VALUE) for name, value in chosen}

    def _name(self, name: str) -> str:
        return name if len(name) < 60 and name.isidentifier() else self.text("label", name, _LONGEST_NAME)

    def note(self) -> str:
        """What was changed since the last note, as a sentence."""
        said = f"Changed on the way in: {'; '.join(sorted(self.cut)[:8])}." if self.cut else ""
        self.cut.clear()
        return said


Parser = Callable[[Any, Reading], list[Alert]]


def alertmanager(payload: Any, reading: Reading) -> list[Alert]:
    """Alertmanager's webhook, version 4."""
    body = mapping(payload, "body")
    if str(body.get("version", "4")) != "4":
        raise BadInput("the webhook version must be 4", field="version")
    return _grouped(body, reading, "alertmanager")


def grafana(payload: Any, reading: Reading) -> list[Alert]:
    """Grafana's unified alerting webhook, which looks like Alertmanager's."""
    return _grouped(mapping(payload, "body"), reading, "grafana")


def pagerduty(payload: Any, reading: Reading) -> list[Alert]:
    """PagerDuty's webhook, version 3; events that open or resolve nothing give no alert."""
    event = mapping(mapping(payload, "body").get("event"), "event")
    kind = _string(event.get("event_type"), "event.event_type")
    if kind not in ("incident.triggered", "incident.reopened", "incident.resolved"):
        return []
    data = mapping(event.get("data"), "event.data")
    identity = _string(data.get("id"), "event.data.id")
    service = data.get("service")
    named = service.get("summary") if isinstance(service, Mapping) else ""
    labels = reading.labels({"service": named or "", "urgency": data.get("urgency") or ""})
    return [
        Alert(
            fingerprint=f"pagerduty:{identity[:100]}",
            firing=kind != "incident.resolved",
            name=reading.text("title", data.get("title") or "PagerDuty incident", 300),
            source="pagerduty",
            starts_at=_moment(data.get("created_at") or event.get("occurred_at"), "event.occurred_at") or _now(),
            severity=Severity.CRITICAL if data.get("urgency") == "high" else Severity.WARNING,
            summary=reading.text("title", data.get("title")),
            description=reading.note(),
            labels={name: value for name, value in labels.items() if value},
            target=target_of(labels, reading.environment("")),
            url=reading.text("url", data.get("html_url"), 2000),
        )
    ]


def generic(payload: Any, reading: Reading) -> list[Alert]:
    """One alert, a list of them, or {"alerts": [...]}: name, and optionally status, severity, labels and more."""
    if isinstance(payload, Mapping) and "alerts" in payload:
        payload = payload["alerts"]
    several = payload if isinstance(payload, list) else [payload]
    return [_generic_one(one, reading, f"alerts[{index}]") for index, one in enumerate(_few(several))]


SOURCES: Mapping[str, Parser] = {
    "alertmanager": alertmanager,
    "grafana": grafana,
    "pagerduty": pagerduty,
    "generic": generic,
}


# --- parts ------------------------------------------------------------------------------------------------------------


def _grouped(body: Mapping[str, Any], reading: Reading, source: str) -> list[Alert]:
    alerts = body.get("alerts")
    if not isinstance(alerts, list):
        raise BadInput("must be a list of alerts", field="alerts")
    group = body.get("groupKey", "")
    group = _string(group, "groupKey") if group else ""
    group = group if len(group) <= 500 else f"{group[:400]}#{fingerprint(plain({'group': group}))}"
    checked = [_checked(one, f"alerts[{index}]") for index, one in enumerate(_few(alerts))]
    for one in checked:
        reading.learn(one[0].items())
        reading.learn(one[1].items())
    reading.learn([("group", group)])
    group = reading.text("group", group, 600)
    return [_grouped_one(*one, reading, source, group, f"alerts[{index}]") for index, one in enumerate(checked)]


def _checked(one: Any, at: str) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    alert = mapping(one, at)
    if alert.get("status") not in ("firing", "resolved"):
        raise BadInput("must be firing or resolved", field=f"{at}.status")
    return _flat(alert.get("labels"), f"{at}.labels"), _flat(alert.get("annotations"), f"{at}.annotations"), alert


def _grouped_one(
    raw: Mapping[str, Any],
    annotations: Mapping[str, Any],
    alert: Mapping[str, Any],
    reading: Reading,
    source: str,
    group: str,
    at: str,
) -> Alert:
    labels = reading.labels(raw)
    firing = alert["status"] == "firing"
    sent = alert.get("fingerprint")
    description = reading.text("description", annotations.get("description") or annotations.get("message"))
    url = alert.get("generatorURL") or alert.get("dashboardURL")
    return Alert(
        fingerprint=reading.text("fingerprint", sent, 128)
        if isinstance(sent, str) and sent
        else fingerprint(plain(raw)),
        firing=firing,
        name=labels.get("alertname") or "Alert",
        source=source,
        starts_at=_moment(alert.get("startsAt"), f"{at}.startsAt") or _now(),
        severity=_severity(labels.get("severity", "")),
        summary=reading.text("summary", annotations.get("summary") or annotations.get("title")),
        description="\n".join(filter(None, (description, reading.note()))),
        labels=labels,
        group=group,
        target=target_of(labels, reading.environment(labels.get("namespace", ""))),
        ends_at=None if firing else _moment(alert.get("endsAt"), f"{at}.endsAt"),
        url=reading.text("url", url, 2000) if isinstance(url, str) else "",
        runbook_url=reading.text("runbook_url", annotations.get("runbook_url"), 2000),
    )


def _generic_one(one: Any, reading: Reading, at: str) -> Alert:
    alert = mapping(one, at)
    name = alert.get("name") or alert.get("title")
    name = _string(name, f"{at}.name")
    raw = _flat(alert.get("labels"), f"{at}.labels")
    status = alert.get("status", "firing")
    if status not in ("firing", "resolved"):
        raise BadInput("must be firing or resolved", field=f"{at}.status")
    labels = reading.labels({"alertname": name, **raw})
    sent = alert.get("fingerprint")
    if sent is not None:
        sent = reading.text("fingerprint", _string(sent, f"{at}.fingerprint"), 128)
    described = reading.text("description", alert.get("description"))
    return Alert(
        fingerprint=sent or fingerprint(plain({"alertname": name, **raw})),
        firing=status == "firing",
        name=reading.text("name", name, 300),
        source=reading.text("source", alert.get("source"), 60) or "generic",
        starts_at=_moment(alert.get("starts_at"), f"{at}.starts_at") or _now(),
        severity=_severity(str(alert.get("severity") or raw.get("severity") or "")),
        summary=reading.text("summary", alert.get("summary")),
        description="\n".join(filter(None, (described, reading.note()))),
        labels=labels,
        group=reading.text("group", alert.get("group"), 600),
        target=target_of(labels, reading.environment(labels.get("namespace", ""))),
        url=reading.text("url", alert.get("url"), 2000),
        runbook_url=reading.text("runbook_url", alert.get("runbook_url"), 2000),
    )


def _few(alerts: Sequence[Any]) -> Sequence[Any]:
    if not alerts:
        raise BadInput("must hold at least one alert", field="alerts")
    if len(alerts) > MOST_ALERTS:
        raise BadInput(f"must hold at most {MOST_ALERTS} alerts", field="alerts")
    return alerts


def mapping(value: Any, at: str) -> Mapping[str, Any]:
    """A part that has to be an object. Raises BadInput with where it stands."""
    if not isinstance(value, Mapping):
        raise BadInput("must be an object", field=at)
    return value


def _string(value: Any, at: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput("must be a text that is not empty", field=at)
    return value


def _flat(value: Any, at: str) -> Mapping[str, Any]:
    """Labels or annotations: names to plain values."""
    if value is None:
        return {}
    for name, inner in mapping(value, at).items():
        if isinstance(inner, Mapping | list):
            raise BadInput("must be a plain value", field=f"{at}.{name[:100]}")
    return dict(value)


def _severity(text: str) -> Severity:
    return _SEVERITIES.get(text.lower(), Severity.WARNING)


def _moment(value: Any, at: str) -> datetime | None:
    """An RFC 3339 time; None where it is missing or Go's zero time."""
    if value is None or value == "" or (isinstance(value, str) and value.startswith("0001-")):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput("must be a time such as 2026-01-31T12:00:00Z", field=at) from error


def _now() -> datetime:
    return datetime.now(UTC)
