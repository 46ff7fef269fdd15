"""Buttons, choices and dialogs on the workspace's page, as a real bolt app hears them."""

import pytest
from playwright.async_api import expect

from tests.stories.page_desk import (
    CONFIRM,
    DIALOG,
    Desk,
    Json,
    actions,
    button,
    plain,
    rich,
    section,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_confirmed_button_sends_one_click_and_a_cancelled_one_none(desk: Desk) -> None:
    page = await desk.open()
    await desk.post(
        "card", blocks=[section("card"), actions(button("Approve", "approve", style="primary", confirm=CONFIRM))]
    )
    approve = page.get_by_role("button", name="Approve")
    await approve.click()
    dialog = page.get_by_role("dialog", name="Roll back?")
    await expect(dialog).to_contain_text("3 pods restart")
    await dialog.get_by_role("button", name="No", exact=True).click()
    await expect(dialog).to_have_count(0)
    await approve.click()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(approve).to_be_focused()
    assert desk.heard == []
    await approve.click()
    await dialog.get_by_role("button", name="Do it").dblclick()
    await desk.until_heard()
    assert [heard["actions"][0]["value"] for heard in desk.heard] == ["value of approve"]
    assert desk.heard[0]["user"]["id"] == desk.workspace.user("mara")


async def test_a_double_click_sends_one_click(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Go", "go"), button("Then", "then"))])
    await page.get_by_role("button", name="Go").dblclick()
    await desk.until_heard()
    await page.get_by_role("button", name="Then").click()
    assert [heard["actions"][0]["action_id"] for heard in await desk.until_heard(2)] == ["go", "then"]


async def test_a_button_for_others_is_not_shown(desk: Desk) -> None:
    jonas = desk.workspace.user("jonas")
    await desk.post(
        "card", blocks=[actions(button("For Jonas", "one", visible_to_user_ids=[jonas]), button("For all", "two"))]
    )
    page, other = await desk.open("mara"), await desk.open("jonas")
    await expect(other.get_by_role("button", name="For Jonas")).to_be_visible()
    await expect(page.get_by_role("button", name="For all")).to_be_visible()
    await expect(page.get_by_role("button", name="For Jonas")).to_have_count(0)


async def test_choices_feedback_and_overflow_arrive_as_slack_sends_them(desk: Desk) -> None:
    options = [{"text": plain(name), "value": name} for name in ("staging", "production")]
    select = {"type": "static_select", "action_id": "where", "placeholder": plain("Where?"), "options": options}
    more = {"type": "overflow", "action_id": "more", "options": options}
    feedback = {
        "type": "feedback_buttons",
        "action_id": "vote",
        "positive_button": {"text": plain("Good"), "value": "up"},
    }
    feedback["negative_button"] = {"text": plain("Bad"), "value": "down"}
    page = await desk.open()
    await desk.post("c", blocks=[actions(select, more), {"type": "context_actions", "elements": [feedback]}])
    await page.get_by_role("button", name="Where?").click()
    await page.get_by_role("menuitemradio", name="production").click()
    await desk.until_heard(1)
    await page.locator("#primary .message").get_by_role("button", name="More actions").first.click()
    await page.get_by_role("menuitem", name="staging").click()
    await desk.until_heard(2)
    await page.get_by_role("button", name="Bad").click()
    chosen = [body["actions"][0] for body in await desk.until_heard(3)]
    assert [chosen[0]["selected_option"]["value"], chosen[1]["selected_option"]["value"], chosen[2]["value"]] == [
        "production",
        "staging",
        "down",
    ]
    await expect(page.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "true")


async def test_a_dialog_puts_the_errors_under_their_fields_and_keeps_what_was_typed(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Deny…", "open"))])
    await page.get_by_role("button", name="Deny…").click()
    dialog = page.get_by_role("dialog", name="Deny the rollback")
    reason = dialog.get_by_label("Reason")
    await expect(reason).to_be_focused()
    submit = dialog.get_by_role("button", name="Deny", exact=True)
    await submit.click()
    await expect(dialog.get_by_role("alert")).to_have_text("Please complete this required field.")
    assert len(desk.heard) == 1
    await reason.fill("no")
    await dialog.get_by_role("button", name="How").click()
    await page.get_by_role("menuitemradio", name="slowly").click()
    await submit.click()
    await expect(dialog.locator("[data-block-id=why]").get_by_role("alert")).to_have_text("Say what you saw.")
    await expect(reason).to_have_value("no")
    await expect(reason).to_be_focused()
    await reason.fill("the wrong revision")
    await submit.click()
    await expect(dialog).to_have_count(0)
    values = desk.heard[-1]["view"]["state"]["values"]
    assert values["why"]["text"]["value"] == "the wrong revision"
    assert values["how"]["pick"]["selected_option"]["value"] == "slowly"


async def test_a_loading_dialog_becomes_the_one_that_the_app_puts_in_its_place(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Deny…", "open"))])
    await page.get_by_role("button", name="Deny…").click()
    await expect(page.get_by_role("dialog")).to_have_count(1)
    [view] = desk.workspace.views("mara")
    await desk.client.views_update(
        view_id=view["id"], view={**DIALOG, "title": plain("Ready"), "blocks": [section("All set")]}
    )
    await expect(page.get_by_role("dialog", name="Ready")).to_contain_text("All set")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert desk.workspace.views("mara") == []


async def test_an_app_that_does_not_answer_is_said_in_a_sentence(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Go", "go"))])
    desk.workspace.faults.is_down = True
    await page.get_by_role("button", name="Go").click()
    await expect(page.locator("#toasts")).to_contain_text("did not answer in time")
    desk.workspace.faults.is_down = False


async def test_open_parts_and_focus_survive_an_edit_of_the_plan(desk: Desk) -> None:
    def plan(status: str) -> list[Json]:
        details = rich({"type": "rich_text_section", "elements": [{"type": "text", "text": "exit code 1"}]})
        task = {"type": "task_card", "task_id": "1", "title": "Looked at pods", "status": status, "details": details}
        return [
            {"type": "plan", "block_id": "p", "title": "Diagnosing", "tasks": [task]},
            actions(button("Stop", "stop")),
        ]

    page = await desk.open()
    ts = await desk.post("plan", blocks=plan("in_progress"))
    await expect(page.get_by_role("img", name="In progress")).to_have_count(2)
    await page.get_by_text("Looked at pods").click()
    await expect(page.get_by_text("exit code 1")).to_be_hidden()
    await page.get_by_role("button", name="Stop").focus()
    await desk.client.chat_update(
        channel=desk.workspace.channel("incidents"), ts=ts, text="plan", blocks=plan("complete")
    )
    await expect(page.get_by_role("img", name="Done")).to_have_count(2)
    await expect(page.get_by_text("exit code 1")).to_be_hidden()
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()
