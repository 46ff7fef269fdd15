"""The JSON client of the other systems against a server that answers, refuses, redirects, hangs up and stays silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bot.tools.rest import Limits, Missing, RestClient
from domain.errors import OutcomeUnknown, SettingsError, TargetMoved, ToolError

DOING = "list the pipelines of shop/web"


class Server:
    """Answers `/STATUS` with that status; `/hang` never, `/drop` by hanging up, `/big` with more than is read."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.body: object = {"message": "no\nway"}
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        what = request.path.strip("/")
        if what == "hang":
            await asyncio.sleep(30)
        if what == "drop":
            assert request.transport is not None
            request.transport.close()
        if what == "text":
            return web.Response(text="<html>not json</html>")
        if what == "big":
            return await _big(request)
        return web.json_response(self.body, status=int(what or 200), headers=self.headers)


async def _big(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(40):
        await response.write(b"x" * (1 << 20))
    return response


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, RestClient]]:
    handler = Server()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handler.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = RestClient(
        "GitLab",
        f"http://127.0.0.1:{port}/",
        fix="check GITLAB_TOKEN",
        headers={"PRIVATE-TOKEN": "t"},
        limits=Limits(connect=1.0, read=0.5),
    )
    yield handler, client
    await client.close()
    await runner.cleanup()


async def test_an_answer_is_its_json_and_the_credentials_go_along(server: tuple[Server, RestClient]) -> None:
    handler, client = server
    assert await client.get("/200", {"page": "2"}, doing=DOING) == {"message": "no\nway"}
    assert handler.seen[0].headers["PRIVATE-TOKEN"] == "t"
    assert handler.seen[0].query_string == "page=2"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, ToolError, f"GitLab refuses to {DOING} (HTTP 400): no way"),
        (401, ToolError, "does not accept this agent's credentials (401): check GITLAB_TOKEN"),
        (403, ToolError, f"does not let this agent {DOING} (403): no way. check GITLAB_TOKEN"),
        (404, Missing, "there is no such thing, or this agent may not see it"),
        (409, TargetMoved, "changed in the meantime: no way"),
        (412, TargetMoved, "changed in the meantime: no way"),
        (429, ToolError, "turning requests away (429)"),
        (500, ToolError, "failed (HTTP 500)"),
    ],
)
async def test_a_refusal_is_a_sentence_that_names_the_system_and_what_was_asked(
    server: tuple[Server, RestClient], status: int, kind: type[ToolError], words: str
) -> None:
    _, client = server
    with pytest.raises(kind) as caught:
        await client.get(f"/{status}", doing=DOING)
    assert words in str(caught.value)
    assert type(caught.value) is kind


async def test_a_rate_limit_says_when_to_come_back(server: tuple[Server, RestClient]) -> None:
    handler, client = server
    handler.headers = {"Retry-After": "17"}
    with pytest.raises(ToolError, match="try again in 17 s") as caught:
        await client.get("/429", doing=DOING)
    assert caught.value.retryable


async def test_a_redirect_is_not_followed_so_that_no_credential_goes_elsewhere(
    server: tuple[Server, RestClient],
) -> None:
    handler, client = server
    handler.headers = {"Location": "http://127.0.0.1:1/elsewhere"}
    with pytest.raises(ToolError, match="redirects to http://127"):
        await client.get("/302", doing=DOING)
    assert len(handler.seen) == 1


@pytest.mark.parametrize("path", ["/hang", "/drop", "/502", "/504"])
async def test_a_change_without_an_answer_may_or_may_not_have_taken_effect(
    server: tuple[Server, RestClient], path: str
) -> None:
    _, client = server
    with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
        await client.send("POST", path, doing="retry pipeline 7", changes=True)
    with pytest.raises(ToolError, match="did not answer") as caught:
        await client.send("GET", path, doing=DOING)
    assert not isinstance(caught.value, OutcomeUnknown)


async def test_nothing_was_sent_where_nobody_listens() -> None:
    client = RestClient("Jenkins", "http://127.0.0.1:1", fix="", limits=Limits(connect=1.0, read=1.0))
    with pytest.raises(ToolError, match="cannot be reached") as caught:
        await client.send("POST", "/", doing="build", changes=True)
    assert not isinstance(caught.value, OutcomeUnknown)
    await client.close()


async def test_an_answer_that_is_no_json_or_too_large_is_refused(server: tuple[Server, RestClient]) -> None:
    _, client = server
    with pytest.raises(ToolError, match="not JSON"):
        await client.get("/text", doing=DOING)
    with pytest.raises(ToolError, match="more than 32 MB"):
        await client.get("/big", doing=DOING)


async def test_an_allowed_status_is_an_answer(server: tuple[Server, RestClient]) -> None:
    _, client = server
    assert (await client.send("GET", "/404", doing=DOING, allow=(404,))).status == 404


def test_an_address_that_is_no_url_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match="'gitlab' is not an http or https URL"):
        RestClient("GitLab", "gitlab", fix="")


async def test_of_a_long_answer_only_what_is_wanted_is_read(server: tuple[Server, RestClient]) -> None:
    _, client = server
    reply = await client.send("GET", "/big", doing=DOING, at_most=100_000)
    assert (len(reply.body), reply.cut) == (100_000, True)
    short = await client.send("GET", "/200", doing=DOING, at_most=100_000)
    assert (short.cut, short.json()) == (False, {"message": "no\nway"})


@pytest.mark.parametrize("kept", [True, False])
async def test_a_session_is_kept_only_where_that_is_wanted(server: tuple[Server, RestClient], kept: bool) -> None:
    handler, other = server
    handler.headers = {"Set-Cookie": "JSESSIONID=abc; Path=/; HttpOnly"}
    client = RestClient("Jenkins", other.url, fix="", cookies=kept)
    await client.get("/200", doing=DOING)
    await client.get("/200", doing=DOING)
    await client.close()
    assert handler.seen[-1].cookies.get("JSESSIONID") == ("abc" if kept else None)
