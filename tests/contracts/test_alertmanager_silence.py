"""Silences in the real Alertmanager: looked at first, made once, marked, probed, ended; refused where they would surprise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bot.tools.alertmanager import alertmanager_tools, open_alertmanager
from bot.tools.rest import RestClient
from bot.tools.spec import WriteTool
from domain.actions import Target
from domain.errors import ArgumentsRefused, TargetMoved, ToolError
from tests.contracts.tool_driver import proposed
from tests.real_monitors import alertmanager, needs_both

pytestmark = needs_both

CONFIG = "{route: {receiver: nobody}, receivers: [{name: nobody}]}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[RestClient]:
    opened = open_alertmanager(url)
    yield opened
    await opened.close()


@pytest.fixture
def tool(client: RestClient) -> WriteTool:
    environments = {"staging-shop": "staging"}
    [one] = alertmanager_tools(client, lambda *places: environments.get(places[0], "production"))
    return one


async def fire(url: str, name: str, pods: int = 2, **labels: str) -> None:
    """Alerts of one name, as Prometheus sends them."""
    now = datetime.now(UTC)
    alerts = [
        {
            "labels": {"alertname": name, "namespace": "shop", "pod": f"cart-{number}", **labels},
            "endsAt": (now + timedelta(minutes=10)).isoformat(),
        }
        for number in range(pods)
    ]
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{url}/api/v2/alerts", json=alerts),
    ):
        pass


async def silences(url: str, name: str) -> list[Mapping[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v2/silences", params={"filter": f'alertname="{name}"'}) as response,
    ):
        return [each for each in await response.json() if each["matchers"]]


def given(name: str, minutes: int = 30, *more: Mapping[str, Any], expire: bool = False) -> dict[str, Any]:
    return {
        "matchers": [{"name": "alertname", "value": name}, *more],
        "minutes": minutes,
        "comment": "known, the node is being replaced",
        "expire": expire,
    }


# --- the way of one silence -------------------------------------------------------------------------------------------


async def test_a_silence_is_shown_made_once_marked_probed_and_taken_back(tool: WriteTool, url: str) -> None:
    await fire(url, "Noisy")
    action = await proposed(tool, given("Noisy"))
    assert action.touches == 2
    assert action.observed == {"hides": ["Noisy in shop"]}
    assert '+ silence alertname="Noisy" for 30 min' in action.diff
    assert '{alertname="Noisy", namespace="shop", pod="cart-0"}' in action.diff
    assert "tells nobody of them, this agent included" in action.diff
    assert await tool.arrived(action, "exe-1") is False
    assert not (await tool.probe(action)).passed

    said = await tool.execute(action, "exe-1")
    assert said.startswith('silenced alertname="Noisy" for 30 min (silence ')
    [made] = await silences(url, "Noisy")
    assert (made["createdBy"], made["comment"]) == ("personal-agent/exe-1", "known, the node is being replaced (exe-1)")
    until = datetime.fromisoformat(made["endsAt"]) - datetime.now(UTC)
    assert timedelta(minutes=29) < until <= timedelta(minutes=30)
    assert await tool.arrived(action, "exe-1") is True
    assert await tool.arrived(action, "exe-2") is False
    probe = await tool.probe(action)
    assert (probe.passed, probe.settled) == (True, True)
    assert [check.detail for check in probe.checks][1] == "2 of 2"

    assert action.undo is not None
    undo = await proposed(tool, action.undo.arguments)
    assert undo.observed == {"silences": [made["id"]]}
    assert (undo.touches, "2 alerts will be heard again" in undo.diff) == (2, True)
    assert not (await tool.probe(undo)).passed
    assert await tool.execute(undo, "exe-3") == f"ended the silence {made['id']}"
    assert await tool.arrived(undo, "exe-3") is True
    assert (await tool.probe(undo)).passed
    assert not (await tool.probe(action)).passed
    assert undo.undo is not None
    again = tool.understand(undo.undo.arguments).arguments
    assert (again["expire"], again["minutes"]) == (False, 30)


# --- what may be silenced ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matchers", "sentence"),
    [
        ([], "at least 1 item"),
        ([{"name": "severity", "value": "warning"}], "must name the alertname exactly"),
        ([{"name": "alertname", "value": ".*", "is_regex": True}], "must name the alertname exactly"),
        ([{"name": "alertname", "value": "A", "is_equal": False}], "must name the alertname exactly"),
        ([{"name": "alertname", "value": ""}], "must name the alertname exactly"),
        ([{"name": "alert name", "value": "A"}], "should match pattern"),
        ([{"name": "alertname", "value": "A", "isRegex": True}], "unknown argument"),
    ],
)
def test_matchers_that_hide_more_than_one_kind_of_alert_are_refused(
    tool: WriteTool, matchers: Any, sentence: str
) -> None:
    with pytest.raises(ArgumentsRefused, match=sentence):
        tool.understand({"matchers": matchers, "comment": "x"})


def test_a_silence_is_bounded_in_time_and_says_why(tool: WriteTool) -> None:
    for bad in ({"minutes": 0}, {"minutes": 1441}, {"comment": ""}):
        with pytest.raises(ArgumentsRefused):
            tool.understand({**given("A"), **bad})


def test_the_order_of_matchers_changes_nothing_and_the_namespace_gives_the_environment(tool: WriteTool) -> None:
    pod, where = {"name": "pod", "value": "cart-.*", "is_regex": True}, {"name": "namespace", "value": "staging-shop"}
    one, other = tool.understand(given("A", 30, pod, where)), tool.understand(given("A", 30, where, pod))
    assert one == other
    assert one.target == Target(
        "alertmanager", "staging", "staging-shop", "Silence", 'alertname="A", namespace="staging-shop", pod=~"cart-.*"'
    )
    assert tool.understand(given("A", 30, pod)).target.environment == "production"


async def test_what_nobody_hears_now_is_not_silenced(tool: WriteTool, url: str) -> None:
    with pytest.raises(ToolError, match="No alert that is heard matches"):
        await proposed(tool, given("NothingOfTheKind"))
    with pytest.raises(ToolError, match="no active silence with exactly"):
        await proposed(tool, given("NothingOfTheKind", expire=True))
    await fire(url, "Twice")
    action = await proposed(tool, given("Twice"))
    await tool.execute(action, "exe-4")
    with pytest.raises(ToolError, match="silenced already, until "):
        await proposed(tool, given("Twice", 60))


async def test_only_what_matches_is_counted(tool: WriteTool, url: str) -> None:
    await fire(url, "Some", pods=3)
    await fire(url, "Some", pods=1, namespace='web"} or {a="')
    one = {"name": "pod", "value": "cart-[01]", "is_regex": True}
    assert (await proposed(tool, given("Some", 30, one))).touches == 3
    action = await proposed(tool, given("Some", 30, {"name": "namespace", "value": 'web"} or {a="'}))
    assert action.touches == 1
    await tool.execute(action, "exe-5")
    assert (await tool.probe(action)).passed


# --- what moved meanwhile ---------------------------------------------------------------------------------------------


async def test_another_pod_of_the_same_alert_moves_nothing_and_another_namespace_does(
    tool: WriteTool, url: str
) -> None:
    await fire(url, "Moving", pods=1)
    action = await proposed(tool, given("Moving"))
    await fire(url, "Moving", pods=4)
    assert (await proposed(tool, given("Moving"))).observed == action.observed
    await fire(url, "Moving", pods=1, namespace="payments")
    with pytest.raises(TargetMoved, match="Other alerts match by now: Moving in payments"):
        await tool.execute(action, "exe-6")
    assert await silences(url, "Moving") == []


async def test_a_silence_that_somebody_else_ended_is_not_ended_again(tool: WriteTool, url: str) -> None:
    await fire(url, "Ended")
    action = await proposed(tool, given("Ended"))
    await tool.execute(action, "exe-7")
    assert action.undo is not None
    undo = await proposed(tool, action.undo.arguments)
    [made] = await silences(url, "Ended")
    async with aiohttp.ClientSession() as session, session.delete(f"{url}/api/v2/silence/{made['id']}"):
        pass
    with pytest.raises(TargetMoved, match="is not active any more"):
        await tool.execute(undo, "exe-8")


async def test_a_silence_of_a_person_is_never_ended(tool: WriteTool, url: str, client: RestClient) -> None:
    await fire(url, "Theirs")
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": "alertname", "value": "Theirs", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "mara", "comment": "mine",
    }  # fmt: skip
    await client.send("POST", "/api/v2/silences", doing="silence", body=body)
    with pytest.raises(ToolError, match="This agent has no active silence"):
        await proposed(tool, given("Theirs", expire=True))
    with pytest.raises(ToolError, match="silenced already"):
        await proposed(tool, given("Theirs"))


async def test_alertmanager_s_own_words_are_kept_where_it_refuses(tool: WriteTool, url: str) -> None:
    await fire(url, "Odd")
    with pytest.raises(ToolError, match=r"Alertmanager refuses to list its alerts \(HTTP 400\): .*missing closing"):
        await proposed(tool, given("Odd", 30, {"name": "pod", "value": "[", "is_regex": True}))
    gone = open_alertmanager("http://127.0.0.1:1", "token")
    [other] = alertmanager_tools(gone, lambda *_: "production")
    with pytest.raises(ToolError, match="cannot be reached"):
        await proposed(other, given("Odd"))
    await gone.close()
