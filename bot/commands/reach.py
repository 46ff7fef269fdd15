"""Part of `doctor`: the systems beside Slack, the cluster and the model, looked at over the wire."""

from __future__ import annotations

from bot.config import Settings
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
