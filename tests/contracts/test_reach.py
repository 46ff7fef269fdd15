"""`doctor` on the systems beside Slack and the cluster: a sentence for each, and a fix where something is wrong."""

from __future__ import annotations

from bot.commands import reach
from bot.config import load
from tests.otlp_receiver import receiving


async def test_a_collector_that_takes_traces_one_that_refuses_and_one_that_is_not_there() -> None:
    async with receiving() as receiver:
        settings = load({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a"}, None)
        assert (await reach.traces(settings)).ok
        assert receiver.headers[0]["x-scope"] == "a"
        assert receiver.spans == []
        receiver.status = 401
        refused = await reach.traces(settings)
        assert not refused.ok
        assert "check OTEL_EXPORTER_OTLP_HEADERS" in refused.sentence
    gone = await reach.traces(settings)
    assert (gone.ok, gone.fix) == (False, "check OTEL_EXPORTER_OTLP_ENDPOINT")
    assert "cannot be reached" in gone.sentence
    assert (await reach.traces(load({}, None))).ok
