"""The stand-in GitLab's repository, merge requests, deliveries and webhooks, over the wire."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.local.gitlab import GitLab, Job, world
from bot.local.gitlab.model import MAINTAINER
from tests.contracts.gitlab_desk import CHECKOUT, ORDERS, Desk, job, newest, open_desk, waiting

COMMITS = f"{CHECKOUT}/repository/commits"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


def change(branch: str = "fix", *actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"branch": branch, "commit_message": "Rates again", "start_branch": "main", "actions": actions} | more


def update(path: str = "checkout/tax.py", **more: Any) -> dict[str, Any]:
    return {"action": "update", "file_path": path, "content": "RATES = {}\n"} | more


# --- commits


async def test_a_comparison_holds_the_commits_and_the_diffs_without_their_two_file_lines(desk: Desk) -> None:
    line = desk.gitlab.break_build()
    base = desk.gitlab.projects["shop/checkout"].repository.commits[line.sha].parents[0]
    seen = await desk.get(f"{CHECKOUT}/repository/compare?from={base}&to={line.sha}")
    assert ([each["id"] for each in seen["commits"]], seen["commit"]["id"]) == ([line.sha], line.sha)
    [diff] = seen["diffs"]
    assert (diff["new_path"], diff["new_file"], diff["deleted_file"]) == ("checkout/tax.py", False, False)
    assert diff["diff"].startswith("@@ -")
    assert "\n-    return net + (net * RATES[region] + 50) // 100\n" in diff["diff"]
    assert (await desk.get(f"{CHECKOUT}/repository/compare?from=main&to=main"))["compare_same_ref"] is True
    one = await desk.get(f"{COMMITS}/{line.sha[:8]}")
    assert (one["id"], one["stats"], one["last_pipeline"]["id"]) == (
        line.sha, {"additions": 1, "deletions": 1, "total": 2}, line.id,
    )  # fmt: skip
    assert await desk.get(f"{COMMITS}/{line.sha}/diff") == seen["diffs"]
    assert [each["id"] for each in await desk.get(f"{COMMITS}?per_page=2")] == [line.sha, base]


async def test_a_file_says_its_content_and_the_last_commit_that_touched_it(desk: Desk) -> None:
    seen = await desk.get(f"{CHECKOUT}/repository/files/checkout%2Ftax.py?ref=main")
    content = base64.b64decode(seen["content"])
    assert (content, seen["content_sha256"]) == (world.TAX, hashlib.sha256(content).hexdigest())
    head = desk.gitlab.projects["shop/checkout"].repository.branches["main"].head
    assert seen["commit_id"] == head != seen["last_commit_id"]


async def test_a_commit_of_several_files_makes_a_branch_and_starts_its_pipeline(desk: Desk) -> None:
    new = {"action": "create", "file_path": "a/b.py", "content": base64.b64encode(b"\0").decode(), "encoding": "base64"}
    status, made, _ = await desk.ask("POST", COMMITS, json=change("fix", update(), new))
    assert (status, made["title"], made["stats"]["total"] > 0) == (201, "Rates again", True)
    repository = desk.gitlab.projects["shop/checkout"].repository
    assert repository.commits[made["id"]].tree["a/b.py"] == b"\0"
    assert (newest(desk).ref, newest(desk).sha) == ("fix", made["id"])
    assert repository.branches["main"].head == made["parent_ids"][0]
    gone = {"action": "delete", "file_path": "a/b.py"}
    status, after, _ = await desk.ask("POST", COMMITS, json={**change("fix", gone), "start_branch": None})
    assert (status, after["parent_ids"]) == (201, [made["id"]])


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (change("fix"), 400, "actions is empty"),
        ({"branch": "fix"}, 400, "commit_message is missing"),
        (change("fix", update(last_commit_id="0" * 40)), 400, "has changed since you started editing it"),
        (change("fix", update("none.py")), 400, "A file with this name doesn't exist"),
        (change("fix", update("README.md", action="create")), 400, "A file with this name already exists"),
        (change("fix", update("../x")), 400, "directory traversal"),
        (change("fix", update(action="chmod")), 400, "does not have a valid value"),
        (change("a..b", update()), 400, "is not a valid branch name"),
        (
            change("fix", update(), start_branch="none"),
            400,
            "You can only create or edit files when you are on a branch",
        ),
        (change("fix", update(), start_sha="0" * 40), 400, "mutually exclusive"),
        (change("main", update()), 400, "A branch called 'main' already exists"),
        (change("main", update(), start_branch=None), 403, "You are not allowed to push into this branch"),
    ],
)
async def test_a_commit_that_does_not_go_is_refused_and_nothing_is_made(
    desk: Desk,
    body: dict[str, Any],
    status: int,
    says: str,
) -> None:
    count = len(desk.gitlab.projects["shop/checkout"].repository.commits)
    answer = await desk.ask("POST", COMMITS, json=body)
    assert answer[0] == status
    assert says in str(answer[1])
    assert len(desk.gitlab.projects["shop/checkout"].repository.commits) == count


async def test_an_update_on_the_commit_that_was_read_goes(desk: Desk) -> None:
    last = (await desk.get(f"{CHECKOUT}/repository/files/checkout%2Ftax.py?ref=main"))["last_commit_id"]
    assert (await desk.ask("POST", COMMITS, json=change("fix", update(last_commit_id=last))))[0] == 201


# --- reverts


async def test_a_commit_is_taken_back_on_a_branch_after_a_dry_run_that_makes_nothing(desk: Desk) -> None:
    line = desk.gitlab.break_build()
    repository = desk.gitlab.projects["shop/checkout"].repository
    branches = f"{CHECKOUT}/repository/branches"
    assert (await desk.ask("POST", branches, json={"branch": "undo", "ref": "main"}))[0] == 201
    again = await desk.ask("POST", branches, json={"branch": "undo", "ref": "main"})
    assert again[:2] == (400, {"message": "Branch already exists"})
    path = f"{COMMITS}/{line.sha}/revert"
    dry = await desk.ask("POST", path, json={"branch": "undo", "dry_run": True})
    assert dry[:2] == (200, {"dry_run": "success"})
    assert repository.branches["undo"].head == line.sha
    status, made, _ = await desk.ask("POST", path, json={"branch": "undo"})
    assert (status, made["parent_ids"]) == (201, [line.sha])
    assert made["message"] == f'Revert "Unknown regions pay no tax"\n\nThis reverts commit {line.sha}'
    assert repository.commits[made["id"]].tree["checkout/tax.py"] == world.TAX
    assert newest(desk).ref == "undo"
    status, body, _ = await desk.ask("POST", path, json={"branch": "undo"})
    assert (status, body["error_code"]) == (400, "empty")


async def test_a_revert_over_a_later_change_or_onto_a_closed_branch_is_refused(desk: Desk) -> None:
    line = desk.gitlab.break_build()
    desk.gitlab.push("shop/checkout", {"checkout/tax.py": b"later"}, "Later", branch="undo")
    path = f"{COMMITS}/{line.sha}/revert"
    status, body, _ = await desk.ask("POST", path, json={"branch": "undo", "dry_run": True})
    assert (status, body["error_code"], body["dry_run"]) == (400, "conflict", "error")
    assert body["message"].startswith("Sorry, we cannot revert this commit automatically.")
    closed = await desk.ask("POST", path, json={"branch": "main"})
    assert closed[:2] == (403, {"message": "403 Forbidden - You are not allowed to push into this branch"})
    assert (await desk.ask("POST", path, json={"branch": "none"}))[:2] == (404, {"message": "404 Branch Not Found"})
    unknown = await desk.ask("POST", f"{COMMITS}/{'0' * 40}/revert", json={"branch": "undo"})
    assert unknown[:2] == (404, {"message": "404 Commit Not Found"})


# --- merge requests


async def test_a_merge_request_is_opened_once_closed_and_then_opened_anew(desk: Desk) -> None:
    await desk.ask("POST", COMMITS, json=change("fix", update()))
    asked = {"source_branch": "fix", "target_branch": "main", "title": "Rates", "labels": "agent,tax"}
    path = f"{CHECKOUT}/merge_requests"
    status, made, _ = await desk.ask("POST", path, json=asked)
    assert (status, made["state"], made["labels"], made["detailed_merge_status"]) == (
        201, "opened", ["agent", "tax"], "mergeable",
    )  # fmt: skip
    twin = await desk.ask("POST", path, json=asked)
    assert twin[:2] == (409, {"message": ["Another open merge request already exists for this source branch: !1"]})
    one = f"{path}/{made['iid']}"
    assert (await desk.ask("PUT", one, json={}))[0] == 400
    assert (await desk.ask("PUT", one, json={"state_event": "merge"}))[0] == 400
    for _ in range(2):
        status, body, _ = await desk.ask("PUT", one, json={"state_event": "close"})
        assert (status, body["state"]) == (200, "closed")
    assert [each["iid"] for each in await desk.get(f"{path}?state=opened")] == []
    assert (await desk.ask("POST", path, json=asked))[1]["iid"] == 2
    assert [each["iid"] for each in await desk.get(f"{path}?source_branch=fix")] == [2, 1]
    none = await desk.ask("POST", path, json=asked | {"source_branch": "none"})
    assert none[:2] == (400, {"message": {"source_branch": ["does not exist"]}})
    assert (await desk.ask("PUT", f"{path}/9", json={"state_event": "close"}))[0] == 404


async def test_a_branch_is_deleted_unless_it_is_protected(desk: Desk) -> None:
    await desk.ask("POST", COMMITS, json=change("feature/a", update()))
    branches = f"{CHECKOUT}/repository/branches"
    seen = await desk.get(f"{branches}/feature%2Fa")
    assert (seen["protected"], seen["can_push"], seen["default"]) == (False, True, False)
    main = await desk.get(f"{branches}/main")
    assert (main["protected"], main["developers_can_push"], main["developers_can_merge"]) == (True, False, True)
    assert (await desk.ask("DELETE", f"{branches}/feature%2Fa"))[0] == 204
    assert (await desk.ask("DELETE", f"{branches}/feature%2Fa"))[0] == 404
    assert (await desk.ask("DELETE", f"{branches}/main"))[0] == 403


# --- deliveries


async def test_what_was_delivered_is_known_by_environment_and_what_is_waiting_by_a_comparison(desk: Desk) -> None:
    line = await waiting(desk)
    path = f"{ORDERS}/deployments?status=success&order_by=id&sort=desc"
    deployed = {}
    for environment in ("production/canary", "production"):
        [last, *before] = await desk.get(f"{path}&environment={environment}")
        deployed[environment] = last["sha"]
        assert len(before) == 2
        assert (last["environment"]["name"], last["environment"]["tier"]) == (environment, "production")
        assert last["deployable"]["status"] == "success"
    assert len(set(deployed.values())) == 1
    seen = await desk.get(f"{ORDERS}/repository/compare?from={deployed['production']}&to={line.sha}")
    assert [each["title"] for each in seen["commits"]] == [
        "Wait 2.5 s for the warehouse at most",
        "Say what the service is for",
    ]
    assert [each["new_path"] for each in seen["diffs"]] == ["README.md", "orders/config.yaml"]
    statuses = [each["status"] for each in await desk.get(f"{ORDERS}/pipelines?ref=main")]
    assert statuses == ["manual", "success", "failed", "success", "success"]
    failed = (await desk.get(f"{ORDERS}/pipelines?status=failed"))[0]["id"]
    assert (await desk.get(f"{ORDERS}/pipelines/{failed}/test_report"))["failed_count"] == 1


async def test_the_other_release_has_a_migration_that_drops_columns_and_several_hundred_lines(desk: Desk) -> None:
    before = desk.gitlab.delivered.repository.branches["main"].head
    line = await desk.over(desk.gitlab.release_with_migration())
    assert line.status == "manual"
    seen = await desk.get(f"{ORDERS}/repository/compare?from={before}&to={line.sha}")
    diffs = {each["new_path"]: each for each in seen["diffs"]}
    assert diffs["migrations/0042_addresses.sql"]["new_file"] is True
    assert "+ALTER TABLE orders DROP COLUMN street" in diffs["migrations/0042_addresses.sql"]["diff"]
    assert sum(each["diff"].count("\n+") for each in seen["diffs"]) > 200
    assert {each["author_name"] for each in seen["commits"]} == {"Priya Nair"}
    report = await desk.get(f"{ORDERS}/pipelines/{line.id}/test_report")
    assert (report["total_count"], report["failed_count"]) == (6, 0)


async def test_whoever_listens_is_told_when_a_job_has_begun_and_how_it_ended(desk: Desk) -> None:
    told: list[tuple[str, str]] = []

    def on_job(seen: Job) -> None:
        told.append((seen.name, seen.status))

    desk.gitlab.on_job = on_job
    line = await waiting(desk)
    assert ("unit", "success") in told
    told.clear()
    await desk.ask("POST", f"{ORDERS}/jobs/{job(line, 'deploy-canary').id}/play")
    await desk.over(line)
    assert told == [("deploy-canary", "running"), ("deploy-canary", "success")]


async def test_an_older_deployment_job_does_not_run_over_a_newer_one(desk: Desk) -> None:
    first = await waiting(desk)
    second = await desk.over(desk.gitlab.release_with_migration())
    await desk.ask("POST", f"{ORDERS}/jobs/{job(second, 'deploy-canary').id}/play")
    await desk.over(second)
    old = f"{ORDERS}/jobs/{job(first, 'deploy-canary').id}/play"
    assert (await desk.ask("POST", old))[0] == 403
    desk.gitlab.delivered.forward_only = False
    assert (await desk.ask("POST", old))[0] == 200


# --- webhooks


class Receiver:
    """What takes webhooks; it answers with `status`."""

    def __init__(self) -> None:
        self.status, self.url = 200, ""
        self.taken: list[tuple[dict[str, str], bytes]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.taken.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [body for _, raw in self.taken if (body := json.loads(raw))["object_kind"] == kind]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


async def test_a_pipelines_webhooks_tell_each_status_with_every_build(desk: Desk, receiver: Receiver) -> None:
    desk.gitlab.add_hook(receiver.url, token="hush")
    line = await waiting(desk)
    await desk.gitlab.hooks.settled()
    told = [each["object_attributes"]["status"] for each in receiver.events("pipeline")]
    assert (told[0], told[-1]) == ("pending", "manual")
    last = receiver.events("pipeline")[-1]
    assert last["project"]["path_with_namespace"] == "shop/orders"
    assert last["object_attributes"]["url"] == f"{desk.gitlab.url}/shop/orders/-/pipelines/{line.id}"
    builds = {each["name"]: each for each in last["builds"]}
    assert builds["deploy-canary"]["status"] == "manual"
    assert builds["deploy-canary"]["manual"] is True
    assert builds["deploy-canary"]["environment"] == {
        "name": "production/canary", "action": "start", "deployment_tier": "production",
    }  # fmt: skip
    assert builds["unit"]["environment"] is None
    headers, _ = receiver.taken[-1]
    assert (headers["x-gitlab-token"], headers["x-gitlab-event"]) == ("hush", "Pipeline Hook")
    assert headers["x-gitlab-instance"] == desk.gitlab.url
    assert headers["user-agent"].startswith("GitLab/")
    keys = {sent["idempotency-key"] for sent, _ in receiver.taken}
    assert len(keys) == len({sent["x-gitlab-event-uuid"] for sent, _ in receiver.taken}) == len(receiver.taken)


async def test_a_deployments_webhooks_tell_that_it_runs_and_how_it_ended(desk: Desk, receiver: Receiver) -> None:
    line = await waiting(desk)
    desk.gitlab.add_hook(receiver.url)
    await desk.ask("POST", f"{ORDERS}/jobs/{job(line, 'deploy-canary').id}/play")
    await desk.over(line)
    told = receiver.events("deployment")
    assert [each["status"] for each in told] == ["running", "success"]
    assert (told[-1]["environment"], told[-1]["environment_tier"]) == ("production/canary", "production")
    assert told[-1]["deployable_id"] == job(line, "deploy-canary").id
    desk.gitlab.report_deployment("shop/orders", "staging", "failed")
    await desk.gitlab.hooks.settled()
    assert (receiver.events("deployment")[-1]["status"], receiver.events("deployment")[-1]["deployable_id"]) == (
        "failed", None,
    )  # fmt: skip
    assert "x-gitlab-token" not in receiver.taken[-1][0]


async def test_a_delivery_is_signed_over_its_id_its_time_and_its_body(desk: Desk, receiver: Receiver) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    desk.gitlab.add_hook(receiver.url, signing_token=f"whsec_{base64.b64encode(secret).decode()}")
    desk.gitlab.report_deployment("shop/orders", "staging", "success")
    await desk.gitlab.hooks.settled()
    [(headers, body)] = receiver.taken
    assert headers["webhook-id"] == headers["idempotency-key"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


async def test_a_delivery_is_tried_once_and_sent_again_with_the_same_key(desk: Desk, receiver: Receiver) -> None:
    hook = desk.gitlab.add_hook(receiver.url)
    receiver.status = 500
    desk.gitlab.report_deployment("shop/orders", "staging", "failed")
    await desk.gitlab.hooks.settled()
    [delivery] = desk.gitlab.hooks.deliveries
    assert (delivery.status, len(receiver.taken)) == (500, 1)
    desk.gitlab.hooks.resend(delivery, hook)
    await desk.gitlab.hooks.settled()
    first, second = (headers for headers, _ in receiver.taken)
    assert first["idempotency-key"] == second["idempotency-key"]
    assert first["x-gitlab-event-uuid"] != second["x-gitlab-event-uuid"]


async def test_a_merge_request_that_is_closed_says_so(desk: Desk, receiver: Receiver) -> None:
    await desk.ask("POST", COMMITS, json=change("fix", update()))
    desk.gitlab.add_hook(receiver.url)
    asked = {"source_branch": "fix", "target_branch": "main", "title": "Rates"}
    await desk.ask("POST", f"{CHECKOUT}/merge_requests", json=asked)
    await desk.ask("PUT", f"{CHECKOUT}/merge_requests/1", json={"state_event": "close"})
    await desk.gitlab.hooks.settled()
    told = [each["object_attributes"] for each in receiver.events("merge_request")]
    assert [(each["action"], each["state"]) for each in told] == [("open", "opened"), ("close", "closed")]


async def test_nobody_who_listens_ends_a_delivery_with_no_status() -> None:
    async with GitLab(speed=40) as gitlab, aiohttp.ClientSession():
        gitlab.add_hook("http://127.0.0.1:9/")
        gitlab.report_deployment("shop/orders", "staging", "failed")
        await gitlab.hooks.settled()
        assert [each.status for each in gitlab.hooks.deliveries] == [0]


async def test_what_maintainers_set_is_shown_to_maintainers(desk: Desk) -> None:
    name = "ci_pipeline_variables_minimum_override_role"
    assert name not in await desk.get(CHECKOUT)
    maintainer = desk.gitlab.issue(world.AGENT, {"shop/checkout": MAINTAINER}).value
    assert (await desk.ask("GET", CHECKOUT, token=maintainer))[1][name] == "developer"
