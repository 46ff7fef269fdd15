"""Clicks, dialogs, commands, shortcuts and response URLs, between slack_bolt and the people of the workspace."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp

from bot.local.workspace import Workspace, WorkspaceError

from .workspace_clients import actions, bolt, button, client, connected, modal, plain, refusal


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
async def app(w: Workspace) -> AsyncIterator[AsyncApp]:
    """A connected bolt app; listeners may be added while it runs."""
    app = bolt(w)
    async with connected(w, app):
        yield app


async def _card(w: Workspace, *elements: dict[str, Any], **more: Any) -> str:
    blocks = actions(*(elements or (button(value="1"),)))
    answer = await client(w).chat_postMessage(channel="incidents", text="card", blocks=blocks, **more)
    return str(answer["ts"])


async def _payload(w: Workspace, app: AsyncApp, act: Any) -> dict[str, Any]:
    """What the app receives when `act` happens."""
    seen: list[dict[str, Any]] = []

    async def take(ack: Any, body: dict[str, Any]) -> None:
        seen.append(body)
        await ack()

    app.action(re.compile(".*"))(take)
    app.shortcut({"type": "message_action", "callback_id": "diagnose_message"})(take)
    app.view("reason")(take)
    app.view_closed("reason")(take)
    assert await act == {}
    return seen[0]


async def test_a_click_carries_the_message_the_person_and_a_trigger(w: Workspace, app: AsyncApp) -> None:
    parent = await w.say("mara", "incidents", "root")
    ts = await _card(w, button(value="p-1", style="danger"), thread_ts=parent)
    body = await _payload(w, app, w.click("jonas", "incidents", ts, "go"))
    assert body["user"] == {"id": w.user("jonas"), "username": "jonas", "name": "jonas", "team_id": w.team_id}
    assert body["container"] == {
        "type": "message",
        "message_ts": ts,
        "channel_id": w.channel("incidents"),
        "is_ephemeral": False,
        "thread_ts": parent,
    }
    assert body["channel"] == {"id": w.channel("incidents"), "name": "incidents"}
    assert body["message"]["ts"] == ts
    [action] = body["actions"]
    assert (action["type"], action["action_id"], action["value"]) == ("button", "go", "p-1")
    assert action["block_id"] == body["message"]["blocks"][0]["block_id"]
    assert {"trigger_id", "response_url", "state", "api_app_id", "team"} <= body.keys()


async def test_an_outsiders_click_carries_their_own_team(w: Workspace, app: AsyncApp) -> None:
    body = await _payload(w, app, w.click("ext", "incidents", await _card(w), "go"))
    assert (body["user"]["team_id"], body["team"]["id"]) == ("T0SUPPLIER1", w.team_id)


SELECT = {
    "type": "static_select",
    "action_id": "go",
    "options": [{"text": plain("One"), "value": "1"}, {"text": plain("Two"), "value": "2"}],
}
FEEDBACK = {
    "type": "feedback_buttons",
    "action_id": "go",
    "positive_button": {"text": plain("Good"), "value": "up"},
    "negative_button": {"text": plain("Bad"), "value": "down"},
}


@pytest.mark.parametrize(
    ("element", "value", "key", "expected"),
    [
        (SELECT, "2", "selected_option", SELECT["options"][1]),  # type: ignore[index]
        ({**SELECT, "type": "overflow"}, "1", "selected_option", SELECT["options"][0]),  # type: ignore[index]
        ({"type": "users_select", "action_id": "go"}, "U1", "selected_user", "U1"),
        ({"type": "datepicker", "action_id": "go"}, "2026-11-23", "selected_date", "2026-11-23"),
        ({**SELECT, "type": "checkboxes"}, ["1"], "selected_options", SELECT["options"][:1]),  # type: ignore[index]
    ],
)
async def test_a_choice_is_reported_in_slacks_form(
    w: Workspace, app: AsyncApp, element: dict[str, Any], value: Any, key: str, expected: Any
) -> None:
    body = await _payload(w, app, w.click("mara", "incidents", await _card(w, element), "go", value=value))
    assert body["actions"][0][key] == expected


async def test_feedback_buttons_report_the_one_that_was_pressed(w: Workspace, app: AsyncApp) -> None:
    blocks = [{"type": "context_actions", "elements": [FEEDBACK]}]
    posted = await client(w).chat_postMessage(channel="incidents", text="x", blocks=blocks)
    body = await _payload(w, app, w.click("mara", "incidents", posted["ts"], "go", value="down"))
    assert (body["actions"][0]["type"], body["actions"][0]["value"]) == ("feedback_buttons", "down")
    with pytest.raises(WorkspaceError):
        await w.click("mara", "incidents", posted["ts"], "go", value="sideways")


async def test_a_button_of_an_attachment_says_which_attachment(w: Workspace, app: AsyncApp) -> None:
    attachments = [{"color": "danger", "fallback": "x"}, {"fallback": "y", "blocks": actions(button(value="1"))}]
    posted = await client(w).chat_postMessage(channel="incidents", text="x", attachments=attachments)
    body = await _payload(w, app, w.click("mara", "incidents", posted["ts"], "go"))
    assert (body["container"]["type"], body["container"]["attachment_id"]) == ("message_attachment", 2)
    assert body["actions"][0]["value"] == "1"


async def test_the_buttons_of_a_container_and_an_accessory_can_be_pressed(w: Workspace, app: AsyncApp) -> None:
    section = {"type": "section", "text": plain("x"), "accessory": button("inside", value="2")}
    blocks = [{"type": "container", "title": plain("More"), "child_blocks": [section]}]
    posted = await client(w).chat_postMessage(channel="incidents", text="x", blocks=blocks)
    body = await _payload(w, app, w.click("mara", "incidents", posted["ts"], "inside"))
    assert body["actions"][0]["value"] == "2"


async def test_what_is_not_there_cannot_be_pressed(w: Workspace) -> None:
    ts = await _card(w, SELECT)
    for attempt in (
        w.click("mara", "incidents", ts, "other"),
        w.click("mara", "incidents", "1.000001", "go"),
        w.click("mara", "incidents", ts, "go", value="3"),
        w.click("nobody", "incidents", ts, "go"),
        w.press("mara", "go"),
        w.submit("mara", "V404", {}),
        w.say("mara", "incidents", "  "),
        w.say("mara", "elsewhere", "x"),
        w.post_as_bot("Nagios", "alerts", "x"),
    ):
        with pytest.raises(WorkspaceError):
            await attempt


async def test_a_click_nobody_acknowledges_is_shown_to_the_person_as_failed(w: Workspace, app: AsyncApp) -> None:
    parent = await w.say("mara", "incidents", "root")
    ts = await _card(w, thread_ts=parent)
    clicking = asyncio.ensure_future(w.click("mara", "incidents", ts, "go"))
    await asyncio.sleep(0.05)
    w.clock.advance(3)
    assert await clicking == {"error": "operation_timeout"}
    [warning] = w.ephemerals("mara")
    assert "operation_timeout" in warning["text"]
    assert warning["thread_ts"] == parent


async def test_fifty_clicks_at_once_all_arrive(w: Workspace, app: AsyncApp) -> None:
    users: list[str] = []

    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        users.append(body["user"]["id"])

    ts = await _card(w)
    await asyncio.gather(*(w.click(("mara", "jonas")[n % 2], "incidents", ts, "go") for n in range(50)))
    assert len(users) == 50


async def _with_modal(w: Workspace, app: AsyncApp, view: dict[str, Any]) -> dict[str, Any]:
    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any], client: Any) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    await w.click("mara", "incidents", await _card(w), "go")
    return dict((await w.until(lambda: w.views("mara")))[0])


class TestModal:
    async def test_opens_for_the_person_who_clicked(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal(private_metadata="p-1"))
        assert w.views("jonas") == []
        assert (view["callback_id"], view["private_metadata"], view["root_view_id"]) == ("reason", "p-1", view["id"])

    async def test_is_submitted_with_what_was_entered(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal(private_metadata="p-1"))
        body = await _payload(w, app, w.submit("mara", view["id"], {"why": {"text": "too risky"}}))
        state = body["view"]["state"]["values"]
        assert state == {"why": {"text": {"type": "plain_text_input", "value": "too risky"}}}
        assert (body["type"], body["view"]["private_metadata"]) == ("view_submission", "p-1")
        assert "channel" not in body
        assert w.views("mara") == []

    async def test_stays_open_with_the_apps_errors(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal())

        @app.view("reason")
        async def on_reason(ack: Any) -> None:
            await ack(response_action="errors", errors={"why": "Say more."})

        answer = await w.submit("mara", view["id"], {"why": {"text": "no"}})
        assert answer == {"response_action": "errors", "errors": {"why": "Say more."}}
        assert [v["id"] for v in w.views("mara")] == [view["id"]]

    @pytest.mark.parametrize("entered", ["", "x" * 21])
    async def test_is_not_sent_while_a_field_is_wrong(self, w: Workspace, app: AsyncApp, entered: str) -> None:
        view = await _with_modal(w, app, modal())
        answer = await w.submit("mara", view["id"], {"why": {"text": entered}})
        assert answer["response_action"] == "errors"
        assert answer["errors"].keys() == {"why"}

    async def test_can_become_another_one(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal())

        @app.view("reason")
        async def on_reason(ack: Any) -> None:
            await ack(response_action="update", view=modal("second"))

        await w.submit("mara", view["id"], {"why": {"text": "x"}})
        [now] = w.views("mara")
        assert (now["id"], now["callback_id"]) == (view["id"], "second")
        assert now["hash"] != view["hash"]

    async def test_stack_is_three_deep_and_cleared_at_once(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal())

        @app.view("reason")
        async def on_reason(ack: Any, view: dict[str, Any]) -> None:
            reason = view["state"]["values"]["why"]["text"]["value"]
            await (ack(response_action="push", view=modal()) if reason == "more" else ack(response_action="clear"))

        more = {"why": {"text": "more"}}
        await w.submit("mara", view["id"], more)
        second = w.views("mara")[-1]
        assert (second["previous_view_id"], second["root_view_id"]) == (view["id"], view["id"])
        await w.submit("mara", second["id"], more)
        third = w.views("mara")[-1]
        assert (await w.submit("mara", third["id"], more))["error"] == "push_limit_reached"
        await w.submit("mara", third["id"], {"why": {"text": "enough"}})
        assert w.views("mara") == []

    async def test_tells_of_its_closing_when_asked_to(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal(notify_on_close=True))
        body = await _payload(w, app, w.close_view("mara", view["id"]))
        assert (body["type"], body["is_cleared"], w.views("mara")) == ("view_closed", False, [])

    async def test_is_updated_only_with_its_present_hash(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal())
        api = client(w)
        new = (await api.views_update(view_id=view["id"], hash=view["hash"], view=modal("second")))["view"]
        assert new["callback_id"] == "second"
        stale = api.views_update(view_id=view["id"], hash=view["hash"], view=modal())
        assert (await refusal(stale))["error"] == "hash_conflict"
        assert (await refusal(api.views_update(view_id="V404", view=modal())))["error"] == "not_found"

    async def test_elements_inside_it_can_be_pressed(self, w: Workspace, app: AsyncApp) -> None:
        view = await _with_modal(w, app, modal(blocks=actions(button("inner", value="1"))))
        seen: list[dict[str, Any]] = []

        @app.action("inner")
        async def on_inner(ack: Any, body: dict[str, Any], client: Any) -> None:
            await ack()
            seen.append(body)
            await client.views_push(trigger_id=body["trigger_id"], view=modal("pushed"))

        await w.press("mara", "inner", view_id=view["id"])
        await w.until(lambda: len(w.views("mara")) == 2)
        assert seen[0]["container"] == {"type": "view", "view_id": view["id"]}
        assert w.views("mara")[-1]["previous_view_id"] == view["id"]


async def test_a_modal_keeps_the_first_choices_of_the_app(w: Workspace, app: AsyncApp) -> None:
    people = {"type": "multi_users_select", "action_id": "who", "initial_users": ["U1"]}
    grouped = {**SELECT, "options": None, "option_groups": [{"label": plain("G"), "options": SELECT["options"]}]}
    blocks = [
        {"type": "input", "block_id": "one", "label": plain("L"), "element": {**grouped, "action_id": "pick"}},
        {"type": "input", "block_id": "two", "label": plain("L"), "element": people, "optional": True},
        {"type": "section", "block_id": "three", "text": plain("x"), "accessory": {**SELECT, "action_id": "side"}},
    ]
    view = await _with_modal(w, app, modal(blocks=blocks))
    body = await _payload(w, app, w.submit("mara", view["id"], {"one": {"pick": "2"}}))
    values = body["view"]["state"]["values"]
    assert values["one"]["pick"]["selected_option"]["value"] == "2"
    assert values["two"]["who"] == {"type": "multi_users_select", "selected_users": ["U1"]}
    assert values["three"]["side"]["selected_option"] is None


async def test_a_dialog_refuses_blocks_it_does_not_have(w: Workspace, app: AsyncApp) -> None:
    view = await _with_modal(w, app, modal())
    with pytest.raises(WorkspaceError, match="no block"):
        await w.submit("mara", view["id"], {"elsewhere": {"text": "x"}})
    with pytest.raises(WorkspaceError):
        await w.submit("jonas", view["id"], {"why": {"text": "x"}})


async def test_a_view_is_found_by_its_external_id(w: Workspace, app: AsyncApp) -> None:
    await _with_modal(w, app, modal(external_id="card-1"))
    await client(w).views_update(external_id="card-1", view=modal("second"))
    assert w.views("mara")[0]["callback_id"] == "second"


async def test_an_answer_slack_would_refuse_is_not_shown(w: Workspace, app: AsyncApp) -> None:
    @app.command("/agent")
    async def on_agent(ack: Any) -> None:
        await ack(text="x", blocks=[{"type": "section"}])

    assert (await w.command("mara", "incidents", "status"))["error"] == "invalid_blocks"
    assert w.ephemerals("mara") == []


async def test_a_trigger_opens_one_modal_within_three_seconds(w: Workspace, app: AsyncApp) -> None:
    triggers: list[str] = []

    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any]) -> None:
        triggers.append(body["trigger_id"])
        await ack()

    ts, api = await _card(w), client(w)
    await w.click("mara", "incidents", ts, "go")
    await api.views_open(trigger_id=triggers[0], view=modal())
    again = api.views_open(trigger_id=triggers[0], view=modal())
    assert (await refusal(again))["error"] == "exchanged_trigger_id"
    await w.click("mara", "incidents", ts, "go")
    w.clock.advance(3.1)
    late = api.views_open(trigger_id=triggers[1], view=modal())
    assert (await refusal(late))["error"] == "expired_trigger_id"
    for call in (api.views_open, api.views_push):
        assert (await refusal(call(trigger_id="1.2.x", view=modal())))["error"] == "invalid_trigger_id"
    await w.click("mara", "incidents", ts, "go")
    outside = api.views_push(trigger_id=triggers[2], view=modal())
    assert (await refusal(outside))["error"] == "not_found"


async def test_a_modal_slack_would_refuse_is_not_opened(w: Workspace, app: AsyncApp) -> None:
    errors: list[dict[str, Any]] = []

    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any], client: Any) -> None:
        await ack()
        view = modal(title=plain("x" * 25))
        errors.append(await refusal(client.views_open(trigger_id=body["trigger_id"], view=view)))
        await client.chat_postMessage(channel="incidents", text="refused")

    await w.click("mara", "incidents", await _card(w), "go")
    await w.until(lambda: any(m["text"] == "refused" for m in w.messages("incidents")))
    assert errors[0]["errors"] == ["must be less than 25 characters [json-pointer:/view/title/text]"]
    assert w.views("mara") == []


async def test_a_command_is_answered_at_once_to_the_person_alone(w: Workspace, app: AsyncApp) -> None:
    seen: list[dict[str, Any]] = []

    @app.command("/agent")
    async def on_agent(ack: Any, body: dict[str, Any]) -> None:
        seen.append(body)
        await ack("Nothing is on fire.")

    answer = await w.command("mara", "incidents", "why @jonas")
    assert answer == {"text": "Nothing is on fire."}
    assert w.ephemerals("mara")[0]["text"] == "Nothing is on fire."
    assert (seen[0]["command"], seen[0]["text"]) == ("/agent", f"why <@{w.user('jonas')}|jonas>")
    assert (seen[0]["user_id"], seen[0]["channel_name"]) == (w.user("mara"), "incidents")


async def test_a_command_may_answer_for_everybody(w: Workspace, app: AsyncApp) -> None:
    @app.command("/agent")
    async def on_agent(ack: Any) -> None:
        await ack(text="All see this.", response_type="in_channel")

    await w.command("mara", "incidents", "status")
    assert [m["text"] for m in w.messages("incidents")] == ["All see this."]


async def test_a_command_whose_listener_fails_before_the_ack_times_out(w: Workspace, app: AsyncApp) -> None:
    @app.command("/agent")
    async def on_agent() -> None:
        raise RuntimeError("before the ack")

    asking = asyncio.ensure_future(w.command("mara", "incidents", "status"))
    await asyncio.sleep(0.05)
    w.clock.advance(3)
    assert await asking == {"error": "operation_timeout"}
    assert w.ephemerals("mara")[0]["text"] == '/agent failed with the error "operation_timeout"'


async def test_a_shortcut_carries_the_message_it_was_used_on(w: Workspace, app: AsyncApp) -> None:
    ts = await w.post_as_bot("Alertmanager", "alerts", "CheckoutDown")
    body = await _payload(w, app, w.shortcut("mara", "diagnose_message", "alerts", ts))
    assert (body["message"]["text"], body["message_ts"], body["channel"]["name"]) == ("CheckoutDown", ts, "alerts")
    assert {"trigger_id", "response_url"} <= body.keys()


async def _hook(w: Workspace, app: AsyncApp, ts: str) -> str:
    return str((await _payload(w, app, w.click("mara", "incidents", ts, "go")))["response_url"])


async def test_a_response_url_works_five_times(w: Workspace, app: AsyncApp) -> None:
    url = await _hook(w, app, await _card(w))
    async with aiohttp.ClientSession() as http:
        answers = []
        for number in range(6):
            async with http.post(url, json={"text": str(number)}) as response:
                answers.append((response.status, await response.text()))
    assert answers[:5] == [(200, "ok")] * 5
    assert answers[5][0] == 404
    assert [m["text"] for m in w.ephemerals("mara")] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ({"text": "new", "replace_original": True}, [("new", False)]),
        ({"delete_original": True}, []),
        ({"text": "all", "response_type": "in_channel"}, [("card", True), ("all", False)]),
        ({"text": "x", "blocks": [{"type": "section"}]}, [("card", True)]),
    ],
)
async def test_a_response_url_may_change_the_message_it_belongs_to(
    w: Workspace, app: AsyncApp, sent: dict[str, Any], left: list[tuple[str, bool]]
) -> None:
    url = await _hook(w, app, await _card(w))
    async with aiohttp.ClientSession() as http, http.post(url, json=sent) as response:
        assert response.status == (400 if sent.get("blocks") else 200)
    assert [(m["text"], "blocks" in m) for m in w.messages("incidents")] == left


async def test_a_response_url_refuses_what_is_not_a_message(w: Workspace, app: AsyncApp) -> None:
    url = await _hook(w, app, await _card(w))
    async with aiohttp.ClientSession() as http:
        for body in ("{", "[]", "7", "{}"):
            async with http.post(url, data=body) as response:
                assert response.status == 400
    assert w.ephemerals("mara") == []


async def test_a_response_url_ends_after_half_an_hour(w: Workspace, app: AsyncApp) -> None:
    url = await _hook(w, app, await _card(w))
    w.clock.advance(1801)
    async with aiohttp.ClientSession() as http, http.post(url, json={"text": "late"}) as response:
        assert response.status == 404


async def test_an_ephemeral_message_can_be_pressed_and_replaced(w: Workspace, app: AsyncApp) -> None:
    api, channel = client(w), w.channel("incidents")
    await api.chat_postEphemeral(channel=channel, user=w.user("mara"), text="q", blocks=actions(button()))
    [question] = w.ephemerals("mara")
    with pytest.raises(WorkspaceError):
        await w.click("jonas", "incidents", question["ts"], "go")

    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any], respond: Any) -> None:
        await ack()
        assert body["container"]["is_ephemeral"]
        assert "message" not in body
        await respond(text="done", replace_original=True)

    await w.click("mara", "incidents", question["ts"], "go")
    await w.until(lambda: w.ephemerals("mara")[0]["text"] == "done")
    assert "blocks" not in w.ephemerals("mara")[0]


async def test_home_can_be_opened_published_and_pressed(w: Workspace, app: AsyncApp) -> None:
    pressed: list[str] = []

    @app.event("app_home_opened")
    async def on_home(event: dict[str, Any], client: Any) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": actions(button("scan"))})

    @app.action("scan")
    async def on_scan(ack: Any, body: dict[str, Any]) -> None:
        pressed.append(body["view"]["type"])
        await ack()

    await w.open_home("mara")
    await w.until(lambda: w.home("mara"))
    await w.press("mara", "scan")
    assert pressed == ["home"]
