"""Part of `doctor`: the systems beside Slack, the cluster and the model, looked at over the wire."""

from __future__ import annotations

from bot.config import Settings
from bot.tools.alertmanager import open_alertmanager
from bot.tools.prometheus_alerts import alerts
from bot.tools.prometheus_api import a_map, ask, open_prometheus
from bot.tools.prometheus_series import clean
from bot.tools.rest import RestClient
from domain.errors import AgentError
from handlers.checkup import Answer


async def traces(settings: Settings) -> Answer:
    """Whether the collector takes an export with nothing in it."""
    url = settings.otel_exporter_otlp_endpoint
    if not url:
        return Answer("traces", ok=True, sentence="no traces are exported (OTEL_EXPORTER_OTLP_ENDPOINT is not set)")
    headers = {**settings.otlp_headers, "content-type": "application/x-protobuf"}
    collector = RestClient("The collector", url, fix="check OTEL_EXPORTER_OTLP_HEADERS", headers=headers)
    try:
        await collector.send("POST", "/v1/traces", doing="take a trace")
    except AgentError as error:
        return Answer("traces", ok=False, sentence=str(error), fix="check OTEL_EXPORTER_OTLP_ENDPOINT")
    finally:
        await collector.close()
    return Answer("traces", ok=True, sentence=f"the collector at {url} takes them")


async def prometheus(settings: Settings) -> Answer:
    """Whether it answers, its version, and whether its rules can be read."""
    if not settings.prometheus_url:
        return Answer("prometheus", ok=True, sentence="not set up (PROMETHEUS_URL is not set): no series are read")
    try:
        client = open_prometheus(settings.prometheus_url, settings.prometheus_token.get_secret_value())
    except AgentError as error:
        return Answer("prometheus", ok=False, sentence=str(error), fix="check PROMETHEUS_URL")
    try:
        build = await ask(client, "/api/v1/status/buildinfo", {}, "say its version")
        rules = await alerts(client, {"name": ""})
    except AgentError as error:
        return Answer("prometheus", ok=False, sentence=str(error), fix="check PROMETHEUS_URL and PROMETHEUS_TOKEN")
    finally:
        await client.close()
    version = clean(a_map(a_map(build).get("data")).get("version") or "of unknown version", 40)
    targets = f"{rules['down_count']} of {rules['targets']} targets are down"
    return Answer("prometheus", ok=True, sentence=f"Prometheus {version}: queries and rules can be read, {targets}")


async def alertmanager(settings: Settings) -> Answer:
    """Whether it answers, its version, and whether its silences can be read."""
    if not settings.alertmanager_url:
        return Answer("alertmanager", ok=True, sentence="not set up (ALERTMANAGER_URL is not set): nothing is silenced")
    try:
        client = open_alertmanager(settings.alertmanager_url, settings.alertmanager_token.get_secret_value())
    except AgentError as error:
        return Answer("alertmanager", ok=False, sentence=str(error), fix="check ALERTMANAGER_URL")
    try:
        status = await client.get("/api/v2/status", doing="say its version")
        known = await client.get("/api/v2/silences", doing="list its silences")
    except AgentError as error:
        return Answer(
            "alertmanager", ok=False, sentence=str(error), fix="check ALERTMANAGER_URL and ALERTMANAGER_TOKEN"
        )
    finally:
        await client.close()
    version = clean(a_map(a_map(status).get("versionInfo")).get("version") or "of unknown version", 40)
    listed = known if isinstance(known, list) else []
    active = sum(a_map(a_map(each).get("status")).get("state") == "active" for each in listed)
    sentence = f"Alertmanager {version}: alerts and silences can be read; active silences: {active}"
    return Answer("alertmanager", ok=True, sentence=sentence)
