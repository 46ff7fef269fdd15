"""The stand-in Jenkins itself: strict where the real one is, so that what passes here is likely to pass there."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from bot.local.jenkins import Jenkins, commit
from bot.local.jenkins.engine import FORGET_SECONDS
from bot.local.jenkins.security import JOB_READ, READ
from bot.local.jenkins.tree import Bean, MalformedTree, Prop, export, parse
from bot.local.jenkins.world import JONAS, MARA, TAX


class Desk:
    """A Jenkins and a client that sends what it is told to."""

    def __init__(self, jenkins: Jenkins, http: aiohttp.ClientSession) -> None:
        self.jenkins, self.http = jenkins, http

    async def ask(
        self, method: str, path: str, *, login: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, str, dict[str, str]]:
        agent = self.jenkins.agent
        login = f"{agent.id}:{agent.token}" if login is None else login
        sent = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        url = path if path.startswith("http") else self.jenkins.url + path
        async with self.http.request(
            method, url, headers=sent | (headers or {}), allow_redirects=False, **more
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, await answer.text(), found

    async def json(self, path: str) -> Any:
        async with self.http.get(self.jenkins.url + path, headers=self.login) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    @property
    def login(self) -> dict[str, str]:
        agent = self.jenkins.agent
        return {"Authorization": "Basic " + base64.b64encode(f"{agent.id}:{agent.token}".encode()).decode()}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Jenkins(speed=20) as jenkins, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Desk(jenkins, http)


# --- tree and depth


def test_a_tree_names_properties_within_properties_and_ranges_of_lists() -> None:
    item = Bean("Item", {"a": Prop(lambda: 1), "b": Prop(lambda: [1, 2, 3, 4])})
    root = Bean("Root", {"items": Prop(lambda: [item] * 4), "other": Prop(lambda: "x")})
    assert export(root, "items[b{1,3}]{,2}", 0) == {
        "_class": "Root",
        "items": [{"_class": "Item", "b": [2, 3]}, {"_class": "Item", "b": [2, 3]}],
    }
    assert export(root, "items[b{2}]{3,},nothing", 0)["items"] == [{"_class": "Item", "b": [3]}]
    assert export(root, "*[a]", 0) == {"_class": "Root", "items": [{"_class": "Item", "a": 1}] * 4, "other": "x"}


@pytest.mark.parametrize("text", ["a[", "a[b", "a]", "a{1", "a{x,2}", "[a]", "a,,b", "a{1,2}}", ""])
def test_a_tree_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(MalformedTree):
        parse(text)


@given(st.text("ab,[]{}0123456789", max_size=20))
def test_any_tree_parses_or_is_refused(text: str) -> None:
    try:
        parse(text)
    except MalformedTree:
        return


async def test_depth_shows_links_first_and_details_deeper(desk: Desk) -> None:
    flat = await desk.json("/job/shop/job/deploy/api/json")
    assert set(flat["lastBuild"]) == {"_class", "number", "url"}
    assert flat["property"][1]["parameterDefinitions"][2]["choices"] == ["staging", "production"]
    deep = await desk.json("/job/shop/job/deploy/api/json?depth=1")
    assert deep["lastBuild"]["result"] == "SUCCESS"
    assert len(str(deep)) > 3 * len(str(flat))


async def test_a_malformed_tree_is_an_oops(desk: Desk) -> None:
    status, text, _ = await desk.ask("GET", "/api/json?tree=jobs[name")
    assert status == 500
    assert "Malformed tree expression" in text


# --- who asks


async def test_nobody_sees_nothing_and_a_wrong_token_is_401(desk: Desk) -> None:
    status, text, headers = await desk.ask("GET", "/api/json", login="")
    assert (status, headers["x-jenkins"]) == (403, "2.528.2")
    assert "Authentication required" in text
    assert "login?from=" in text
    status, text, headers = await desk.ask("GET", "/api/json", login="personal-agent:wrong")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Jenkins"')
    assert headers["content-type"].startswith("text/html")


ABSENT = (
    "/job/none/api/json",
    "/job/shop/job/cart/99/api/json",
    "/job/shop/job/cart/config.xml",
    "/job/shop/job/cart/78/wfapi/describe",
    "/api/xml",
    "/queue/item/1/api/json",
    "/job/shop/job",
)


@pytest.mark.parametrize("path", ABSENT)
async def test_what_is_not_there_is_404_in_jenkins_words(desk: Desk, path: str) -> None:
    status, text, headers = await desk.ask("GET", path)
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "HTTP ERROR 404 Not Found" in text


async def test_a_password_needs_a_crumb_of_its_own_session_and_a_token_needs_none(desk: Desk) -> None:
    login = f"{desk.jenkins.agent.id}:{desk.jenkins.agent.password}"
    build = "/job/shop/job/cart/build"
    status, text, _ = await desk.ask("POST", build, login=login)
    assert status == 403
    assert "No valid crumb was included in the request" in text
    _, text, headers = await desk.ask("GET", "/crumbIssuer/api/json", login=login)
    crumb = {"Jenkins-Crumb": text.split('"crumb": "')[1].split('"')[0]}
    cookie = {"Cookie": headers["set-cookie"].split(";")[0]}
    assert (await desk.ask("POST", build, login=login, headers=crumb))[0] == 403, "no session"
    assert (await desk.ask("POST", build, login=login, headers=crumb | cookie))[0] == 201
    desk.jenkins.security.forget_sessions()
    assert (await desk.ask("POST", build, login=login, headers=crumb | cookie))[0] == 403
    assert (await desk.ask("POST", build))[0] == 201


async def test_a_get_builds_nothing(desk: Desk) -> None:
    status, text, headers = await desk.ask("GET", "/job/shop/job/cart/build")
    assert (status, headers["allow"]) == (405, "POST")
    assert "This URL requires POST" in text
    assert list(desk.jenkins.engine.waiting()) == []


async def test_permissions_are_asked_for_by_name(desk: Desk) -> None:
    desk.jenkins.agent.permissions = frozenset({READ, JOB_READ})
    status, text, _ = await desk.ask("POST", "/job/shop/job/cart/build")
    assert status == 403
    assert "personal-agent is missing the Job/Build permission" in text
    assert (await desk.ask("GET", "/script"))[0] == 403
    assert (await desk.ask("GET", "/script", login=f"admin:{desk.jenkins.admin.token}"))[0] == 200


# --- builds


async def test_parameters_are_checked_as_jenkins_does_and_unknown_ones_dropped(desk: Desk) -> None:
    deploy = "/job/shop/job/deploy"
    assert (await desk.ask("POST", f"{deploy}/build"))[0] == 400
    status, text, _ = await desk.ask("POST", f"{deploy}/buildWithParameters", data={"TARGET": "moon"})
    assert status == 500
    assert "Illegal choice for parameter TARGET: moon" in text
    status, text, _ = await desk.ask("POST", "/job/shop/job/cart/buildWithParameters", data={"A": "b"})
    assert status == 500
    assert "This build is not parameterized!" in text
    status, _, headers = await desk.ask("POST", f"{deploy}/buildWithParameters", data={"NOPE": "1", "VERSION": "2"})
    assert status == 201
    item = await desk.json(headers["location"].removeprefix(desk.jenkins.url) + "api/json")
    named = {each["name"] for each in item["actions"][0]["parameters"]}
    assert "NOPE" not in named
    assert item["params"].startswith("\nSERVICE=checkout\nVERSION=2")


async def test_the_same_task_twice_is_one_item_and_other_parameters_are_another(desk: Desk) -> None:
    desk.jenkins.engine.quieting_down = True
    deploy = "/job/shop/job/deploy/buildWithParameters"
    where = [(await desk.ask("POST", deploy, data={"VERSION": version}))[2]["location"] for version in "112"]
    assert where[0] == where[1] != where[2]
    item = await desk.json(where[0].removeprefix(desk.jenkins.url) + "api/json")
    assert len(item["actions"][1]["causes"]) == 2


async def test_an_item_waits_becomes_a_build_and_is_forgotten_after_five_minutes(desk: Desk) -> None:
    engine = desk.jenkins.engine
    _, _, headers = await desk.ask("POST", "/job/shop/job/cart/build")
    path = headers["location"].removeprefix(desk.jenkins.url) + "api/json"
    seen = await desk.json(path)
    assert seen["_class"] == "hudson.model.Queue$WaitingItem"
    assert seen["why"].startswith("In the quiet period. Expires in")
    await desk.jenkins.built("shop/cart", 79)
    seen = await desk.json(path)
    assert (seen["_class"], seen["executable"]["number"], seen["why"]) == ("hudson.model.Queue$LeftItem", 79, None)
    assert FORGET_SECONDS == 300
    engine.forget(engine.items[seen["id"]])
    assert (await desk.ask("GET", path))[0] == 404


async def test_a_job_that_builds_one_at_a_time_blocks_and_says_what_it_waits_for(desk: Desk) -> None:
    desk.jenkins.engine.hold()
    desk.jenkins.started_by("shop/cart", JONAS)
    await desk.jenkins.until(lambda: desk.jenkins.job("shop/cart").builds[-1].building)
    _, _, headers = await desk.ask("POST", "/job/shop/job/cart/build")
    await desk.jenkins.until(lambda: any(item.state == "BlockedItem" for item in desk.jenkins.engine.waiting()))
    seen = await desk.json(headers["location"].removeprefix(desk.jenkins.url) + "api/json")
    assert (seen["blocked"], seen["why"]) == (True, "Build #79 is already in progress (ETA: N/A)")


async def test_quieting_down_holds_the_queue_until_it_is_cancelled(desk: Desk) -> None:
    admin = f"admin:{desk.jenkins.admin.token}"
    assert (await desk.ask("POST", "/quietDown"))[0] == 403
    assert (await desk.ask("POST", "/quietDown", login=admin))[0] == 302
    await desk.ask("POST", "/job/shop/job/cart/build?delay=0sec")
    await desk.jenkins.until(lambda: any("shut down" in item.why for item in desk.jenkins.engine.waiting()))
    assert (await desk.json("/api/json?tree=quietingDown"))["quietingDown"] is True
    await desk.ask("POST", "/cancelQuietDown", login=admin)
    assert (await desk.jenkins.built("shop/cart", 79)).result == "SUCCESS"


async def test_the_log_comes_in_parts_with_its_size_and_whether_there_will_be_more(desk: Desk) -> None:
    desk.jenkins.engine.hold()
    desk.jenkins.started_by("shop/web", JONAS)
    await desk.jenkins.until(lambda: bool(desk.jenkins.engine.agents[1].running))
    path = "/job/shop/job/web/513/logText/progressiveText"
    _, first, headers = await desk.ask("GET", f"{path}?start=0")
    assert headers["x-more-data"] == "true"
    desk.jenkins.engine.release()
    await desk.jenkins.built("shop/web", 513)
    _, rest, later = await desk.ask("GET", f"{path}?start={headers['x-text-size']}")
    assert "x-more-data" not in later
    _, whole, _ = await desk.ask("GET", "/job/shop/job/web/513/consoleText")
    assert first + rest == whole
    assert int(later["x-text-size"]) == len(whole.encode())
    assert (await desk.ask("GET", f"{path}?start=99999999"))[1] == whole, "beyond the end it begins anew"


async def test_a_stop_answers_with_a_redirect_and_the_build_ends_aborted(desk: Desk) -> None:
    desk.jenkins.engine.hold()
    desk.jenkins.started_by("shop/web", JONAS)
    await desk.jenkins.until(lambda: bool(desk.jenkins.engine.agents[1].running))
    status, _, headers = await desk.ask("POST", "/job/shop/job/web/513/stop")
    assert (status, headers["location"]) == (302, f"{desk.jenkins.url}/job/shop/job/web/513/")
    build = await desk.jenkins.built("shop/web", 513)
    assert build.result == "ABORTED"
    assert b"Aborted by Personal Agent" in build.log


async def test_a_remote_trigger_with_its_token_says_its_cause_and_any_other_token_is_refused(desk: Desk) -> None:
    desk.jenkins.agent.permissions = frozenset({READ, JOB_READ})
    job = desk.jenkins.job("shop/cart")
    job.token = "let-me"
    assert (await desk.ask("POST", "/job/shop/job/cart/build?token=guess"))[0] == 403
    assert (await desk.ask("POST", "/job/shop/job/cart/build?token=let-me&cause=because"))[0] == 201
    build = await desk.jenkins.built("shop/cart", 79)
    assert build.causes[0].text == "Started by remote host 127.0.0.1 with note: because"


async def test_the_stage_view_gives_the_last_ten_kilobytes_of_a_step_as_html(desk: Desk) -> None:
    build = desk.jenkins.job("shop/checkout/main").builds[-1]
    node = build.stages[1].nodes[0]
    node.text = "x" * 20_000 + "<b> & so on\n"
    seen = await desk.json(f"/{build.url}execution/node/{node.id}/wfapi/log")
    assert (seen["length"], seen["hasMore"]) == (10 * 1024, True)
    assert seen["text"].endswith("&lt;b&gt; &amp; so on\n")


# --- notifications


async def test_the_notification_plugin_tells_every_phase_in_order_with_the_users_info_as_basic_login(
    desk: Desk,
) -> None:
    taken: list[tuple[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append((request.headers.get("Authorization", ""), await request.json()))
        return web.Response(status=503 if len(taken) == 1 else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    desk.jenkins.job("shop/checkout/main").hooks.append(f"http://jenkins:s3cret@127.0.0.1:{port}/hook")
    broken = commit(MARA, "Round half up", "Tax.java", breaks=[TAX])
    desk.jenkins.push("shop/checkout/main", broken)
    await desk.jenkins.until_notified(3)
    await runner.cleanup()
    phases = [body["build"]["phase"] for _, body in taken]
    assert phases == ["STARTED", "STARTED", "COMPLETED", "FINALIZED"], "one that was not taken is sent again"
    login = "Basic " + base64.b64encode(b"jenkins:s3cret").decode()
    assert {said for said, _ in taken} == {login}
    last = taken[-1][1]
    assert (last["name"], last["url"]) == ("main", "job/shop/job/checkout/job/main/")
    assert (last["build"]["status"], last["build"]["number"]) == ("FAILURE", 234)
    assert last["build"]["scm"]["commit"] == broken.id
    assert last["build"]["test_summary"]["failed_tests"] == [TAX]
    assert "status" not in taken[0][1]["build"]
