"""A running service's /metrics after a story: every stage of an alert's way is seen, and Prometheus' own checker is content."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from bot import VERSION
from tests.scraping import needs_promtool, promtool, scrape
from tests.stories.telling import MARA, telling


@needs_promtool
async def test_every_stage_of_an_alert_is_seen_on_the_page_and_promtool_is_content(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        url = story.stage.app.url
        before = await scrape(url)
        await story.begin()
        await story.press(MARA, await story.approval())
        await story.finished()
        await story.resolved()
        await story.stage.app.services.sender.idle()
        async with aiohttp.ClientSession() as session, session.post(f"{url}/alerts/alertmanager", data=b"{}"):
            pass
        after = await scrape(url)
    told = after.since(before)

    # intake
    assert told("http_request_seconds_count", path="/alerts/alertmanager", code="202") >= 2
    assert told("http_request_seconds_count", path="/alerts/alertmanager", code="401") == 1
    assert told("alerts_received_total", source="alertmanager", state="firing") >= 1
    assert told("correlate_seconds_count") >= 2
    assert told("incidents_opened_total") == told("incidents_resolved_total") == told("incident_seconds_count") == 1
    assert after("open_incidents") == 0
    # the run
    assert told("runs_started_total", origin="alert") == told("runs_finished_total", outcome="remediated") == 1
    assert told("queue_wait_seconds_count") >= 2
    for stage in ("analysis", "first_finding", "run_machine", "alert_to_diagnosis", "alert_to_verified"):
        assert told(f"{stage}_seconds_count") == 1, stage
    assert told("tool_seconds_count", outcome="ok") >= 3
    assert told("model_seconds_count", model="rules", outcome="ok") >= 2
    assert told("work_units_total", kind="remediation", outcome="accepted") == 1
    # policy and people
    assert told("decisions_total", outcome="ask", effect="write") == told("approvals_requested_total") == 1
    assert told("decision_seconds_count") > told("decisions_total")
    assert told("approvals_total", state="approved") == told("votes_total", verdict="approve") == 1
    assert told("approval_seconds_count", state="approved") == 1
    assert after("approvals_pending") == 0
    assert told("policy_loads_total") == 0
    # the change
    assert told("executions_total", tool="kubernetes_rollback", outcome="succeeded") == 1
    assert told("execution_seconds_count", tool="kubernetes_rollback") == 1
    assert told("verifications_total", result="passed") == told("verification_seconds_count") == 1
    # the journal and Slack
    assert told("journal_events_total", kind="ExecutionStarted") == 1
    assert told("journal_commit_events_sum") == told("journal_events_total")
    assert told("journal_append_seconds_count") >= told("journal_commit_events_count")
    assert told("journal_append_failures_total", reason="error") == 0
    assert told("outbox_delivery_seconds_count") >= 3
    assert after("outbox_messages") == after("outbox_oldest_seconds") == 0
    assert told("slack_request_seconds_count", method="chat.postMessage", code="200") >= 2
    assert told("slack_payload_seconds_count", surface="block_actions") == 1
    # the service
    assert after("build_info", version=VERSION) == after("ready") == after("mode", mode="propose") == 1
    assert after("database_bytes", file="main") > 0
    assert told("errors_total") == 0

    checked = promtool("check", "metrics", given="\n".join(ours(after.text)) + "\n")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def ours(page: str) -> list[str]:
    """The lines of this product's own metrics: the process's and Python's are named by prometheus_client."""
    return [line for line in page.splitlines() if "personal_agent_" in line]
