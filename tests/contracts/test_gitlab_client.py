"""GitLab's API as the client speaks it: tokens and roles in sentences, pages by both headers, changes of unknown end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bot.local.gitlab.model import REPORTER
from bot.local.gitlab.world import AGENT
from bot.tools.gitlab_client import GitLabClient, project_path
from bot.tools.rest import Limits, Missing
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.gitlab_world import World, world

SHOP = project_path("shop/checkout")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as running:
        yield running


@asynccontextmanager
async def answering(handler: Handler, prefix: str = "") -> AsyncIterator[GitLabClient]:
    """A server that answers everything so, and a client of it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = GitLabClient(f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}", "glpat-x", Limits(1.0, 1.0))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def told(client: GitLabClient, path: str = SHOP) -> str:
    with pytest.raises(ToolError) as caught:
        await client.get(path, doing="read the project")
    return str(caught.value)


async def test_a_project_is_asked_for_by_its_path_with_the_slash_quoted(shop: World) -> None:
    assert (await shop.client.get(SHOP, doing="read"))["path_with_namespace"] == "shop/checkout"
    assert shop.asked[-1].path == "/api/v4/projects/shop%2Fcheckout"
    with pytest.raises(Missing, match="no such thing, or this agent may not see it"):
        await shop.client.get(project_path("shop/none"), doing="read the project")


@pytest.mark.parametrize("prefix", ["", "/gitlab", "/gitlab/", "/gitlab/api/v4"])
async def test_a_relative_path_and_the_apis_own_address_are_both_fine(prefix: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"at": request.rel_url.raw_path, "token": request.headers["PRIVATE-TOKEN"]})

    async with answering(handler, prefix) as client:
        seen = await client.get("/projects/a%2Fb", doing="read")
    base = "/gitlab" if prefix else ""
    assert seen == {"at": f"{base}/api/v4/projects/a%2Fb", "token": "glpat-x"}


async def test_a_token_that_is_revoked_expired_or_unknown_is_said_so(shop: World) -> None:
    token = shop.gitlab.tokens[shop.gitlab.token]
    token.expired = True
    assert "it is expired. Set GITLAB_TOKEN to a new one" in await told(shop.client)
    token.revoked = True
    assert "it was revoked. Set GITLAB_TOKEN to a new one" in await told(shop.client)
    del shop.gitlab.tokens[shop.gitlab.token]
    assert "does not accept this agent's credentials (401): check GITLAB_TOKEN" in await told(shop.client)


async def test_a_missing_scope_and_a_role_that_is_too_low_are_told_apart(shop: World) -> None:
    token = shop.gitlab.tokens[shop.gitlab.token]
    line = next(iter(shop.gitlab.projects["shop/checkout"].pipelines))
    token.scopes = ("read_api",)
    with pytest.raises(ToolError, match=r"\(insufficient_scope\), it takes api"):
        await shop.client.post(f"{SHOP}/pipelines/{line}/retry", doing="retry it")
    token.scopes, token.projects = ("api",), {"shop/checkout": REPORTER}
    with pytest.raises(ToolError, match=r"does not let this agent retry it .*its role in the project is too low"):
        await shop.client.post(f"{SHOP}/pipelines/{line}/retry", doing="retry it")
    token.scopes = ("read_user",)
    assert "it takes api or read_api" in await told(shop.client)
    assert shop.changes == []


async def test_who_asks_too_much_is_told_when_to_ask_again(shop: World) -> None:
    shop.gitlab.throttle(0, retry_after=17)
    with pytest.raises(ToolError, match=r"turning requests away .* try again in 17 s") as caught:
        await shop.client.get(SHOP, doing="read")
    assert caught.value.retryable


async def test_a_list_is_read_page_by_page_and_no_further_than_allowed(shop: World) -> None:
    project = shop.gitlab.projects["shop/checkout"]
    whole = await shop.client.pages(f"{SHOP}/pipelines", {"sort": "asc"}, doing="list", most=9, size=2)
    assert [each["id"] for each in whole.items] == list(project.pipelines)
    assert whole.complete
    part = await shop.client.pages(f"{SHOP}/pipelines", doing="list", most=2, size=2)
    assert (len(part.items), part.complete) == (4, False)


async def test_a_list_that_goes_by_a_cursor_is_followed_by_its_link(shop: World) -> None:
    project = shop.gitlab.projects["shop/checkout"]
    seen = await shop.client.pages(f"{SHOP}/jobs", {"pagination": "keyset"}, doing="list", most=99, size=7)
    assert [each["id"] for each in seen.items] == [job.id for job in project.jobs()]
    assert seen.complete


async def test_the_number_of_the_next_page_is_enough_where_no_link_is_sent() -> None:
    async def handler(request: web.Request) -> web.Response:
        page = int(request.query.get("page", "1"))
        return web.json_response([page], headers={"X-Next-Page": str(page + 1) if page < 3 else ""})

    async with answering(handler) as client:
        seen = await client.pages("/projects/1/pipelines", {"page": "1"}, doing="list", most=9)
    assert (seen.items, seen.complete) == ((1, 2, 3), True)


async def test_a_link_leads_to_no_other_host_and_no_other_path() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.rel_url.raw_path_qs)
        more = {"Link": '<http://elsewhere.invalid/api/v4/user?cursor=2&scope%5B%5D=a&scope%5B%5D=b>; rel="next"'}
        return web.json_response([1], headers=more if len(asked) == 1 else {})

    async with answering(handler) as client:
        seen = await client.pages("/projects/1/jobs", doing="list", most=3)
    assert seen.items == (1, 1)
    assert asked == [
        "/api/v4/projects/1/jobs?per_page=100",
        "/api/v4/projects/1/jobs?cursor=2&scope%5B%5D=a&scope%5B%5D=b",
    ]


async def test_a_change_without_an_answer_may_have_happened_and_is_not_called_failed(shop: World) -> None:
    line = next(iter(shop.gitlab.projects["shop/checkout"].pipelines))
    for kind in ("drop", "500", "502"):
        shop.gitlab.fail("POST", "/retry$", kind)
        with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
            await shop.client.post(f"{SHOP}/pipelines/{line}/retry", doing="retry it")


@pytest.mark.parametrize("status", ["429", "503"])
async def test_what_was_turned_away_did_not_happen(shop: World, status: str) -> None:
    shop.gitlab.fail("POST", "/retry$", status)
    with pytest.raises(ToolError) as caught:
        await shop.client.post(f"{SHOP}/pipelines/1/retry", doing="retry it")
    assert caught.value.retryable
    assert not isinstance(caught.value, OutcomeUnknown)


async def test_gitlabs_own_words_are_told_whether_a_sentence_a_list_or_a_map(shop: World) -> None:
    path, asked = f"{SHOP}/merge_requests", {"source_branch": "nowhere", "target_branch": "main", "title": "t"}
    with pytest.raises(ToolError, match=r"refuses to open it \(HTTP 400\): source_branch does not exist"):
        await shop.client.post(path, asked, doing="open it")
    with pytest.raises(TargetMoved, match="can't use same project/branch"):
        await shop.client.post(path, asked | {"source_branch": "main"}, doing="open it")
    seen = await shop.client.post(path, asked | {"source_branch": "main"}, doing="open it", allow=(409,))
    assert seen.status == 409
    with pytest.raises(ToolError, match=r"\(HTTP 400\): ref is missing"):
        await shop.client.post(f"{SHOP}/pipeline", doing="start it")


async def test_graphql_answers_with_data_or_a_sentence(shop: World) -> None:
    job = shop.gitlab.projects["shop/checkout"].jobs()[0].id
    query = (
        "query($project:ID!,$job:JobID!){project(fullPath:$project){job(id:$job){manualVariables{nodes{key value}}}}}"
    )
    variables = {"project": "shop/checkout", "job": f"gid://gitlab/Ci::Build/{job}"}
    data = await shop.client.graphql(query, variables, doing="read its variables")
    assert data["project"]["job"] == {"manualVariables": {"nodes": []}}
    with pytest.raises(ToolError, match="its GraphQL API does not answer this query"):
        await shop.client.graphql("query { everything }", {}, doing="read its variables")


async def test_a_project_that_moved_and_a_wrong_base_url_are_told_apart() -> None:
    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently(f"http://{request.host}/api/v4/projects/77")

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("https://login.example.com/sign_in")

    async with answering(moved) as client:
        assert "name it as it is called now" in await told(client)
    async with answering(elsewhere) as client:
        assert "redirects to https://login.example.com/sign_in" in await told(client)


async def test_an_answer_that_is_too_large_or_no_json_is_a_sentence() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>" + "x" * 5000)

    async with answering(handler) as client:
        with pytest.raises(ToolError, match="more than 1 KB, asked to read; ask for less"):
            await client.get(SHOP, doing="read", at_most=1024)
        assert "not JSON" in await told(client)
        with pytest.raises(ToolError, match="not JSON"):
            await client.pages(SHOP, doing="list")


async def test_the_agents_token_is_the_one_of_the_agent(shop: World) -> None:
    await shop.client.get("/user", doing="say who this is")
    assert shop.asked[-1].user == AGENT.username
