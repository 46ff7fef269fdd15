"""The weekly message, the figures and App Home as Slack gets them: true in one line, whole within Slack's limits, tame."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from domain.actions import Mode, Target
from domain.decisions import Approval
from domain.feedback import Complaint, FeedbackCategory, Quality, Share
from domain.plane import Status
from domain.report import Head, Mishap, Report, Wrong
from domain.weeks import Appointment, Week
from domain.work import Case, Rollup, WorkKind, WorkOutcome
from handlers import cards_figures, cards_home
from handlers.blocks import view_problems
from handlers.cards_figures import amount, said
from handlers.cards_week import headline, period, weekly
from handlers.kit import Body
from tests.slack_harness import action_of, incident_of, request_of
from tests.unit.test_cards import NASTY, accepted, tame
from tests.unit.worth_samples import group, rollup_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = Appointment(0, time(9), "Europe/Berlin").last(NOON)
LINKS = {"i1": "https://acme.slack.com/archives/C1/p1", "r2": "https://acme.slack.com/archives/C1/p2"}
CALM = Quality(Share(0, 0))


def busy(**more: Any) -> Rollup:
    """A week with a bit of everything."""
    rollup = rollup_of(
        by_kind=(group("remediation", 11, credited=8, charged=3, cost_micros=690_000), group("diagnosis", 6, credited=6)),
        by_outcome=(group("accepted", 8), group("failed", 2)),
        attention_s=3100, work=17, incidents=17, alerts=271, executions=12, verified=10, failed=2, reverted=1,
        held_share=727, to_first_finding=1400, to_diagnosis=4000, to_verified=190_000, wait_p50=125_000, wait_p90=700_000,
        repeated=254, grouped=3, model_cost=880_000,
    )  # fmt: skip
    held = replace(rollup.counted.held_share, n=11, low=434, high=903)
    services = tuple(group(f"kubernetes/shop/Deployment/service-{n}", 9 - n, credited=1) for n in range(9))
    case = Case("the shortest from alert to verified", 3, "r1", "i1", WorkKind.REMEDIATION, WorkOutcome.ACCEPTED,
                "kubernetes/shop/Deployment/checkout", 142_000)  # fmt: skip
    worst = replace(case, why="failed or taken back", run_id="r2", incident_id="", seq=9)
    full = replace(
        rollup, counted=replace(rollup.counted, held_share=held), by_service=services, best=case, worst=worst
    )
    return replace(full, **more)


def report(rollup: Rollup | None = None, week: Week = WEEK, quality: Quality = CALM, **more: Any) -> Report:
    return Report(week, rollup or busy(), quality, **more)


def words(body: Body) -> str:
    return f"{body.text} {body.blocks}"


def mishap(wrong: Wrong = Wrong.UNKNOWN, detail: str = "", **more: Any) -> Mishap:
    return Mishap(wrong, "x1", "r1", "i1", more.pop("action", action_of()), detail, NOON)


# --- the one line -----------------------------------------------------------------------------------------------------


def test_the_headline_says_what_held_what_did_not_and_what_is_an_estimate() -> None:
    assert headline(busy()) == "About 4 h of manual work saved (an estimate); 8 of 11 changes held, 3 did not"


def test_a_week_that_saved_nothing_by_the_estimate_says_so() -> None:
    spoiled = rollup_of(by_kind=(group("remediation", 4, charged=4),), work=4)
    assert headline(spoiled).startswith("No time saved, by the estimate; 4 cases looked into, nothing changed")


def test_of_many_changes_the_share_is_said_because_thousandths_no_longer_name_the_number() -> None:
    rollup = busy()
    many = replace(rollup.counted.held_share, n=12_345)
    assert "72.7 % of 12,345 changes held" in headline(
        replace(rollup, counted=replace(rollup.counted, held_share=many))
    )


@given(st.integers(1, 500), st.integers(0, 500))
def test_up_to_five_hundred_changes_the_number_is_exact(n: int, good: int) -> None:
    good = min(good, n)
    rollup = busy()
    held = replace(rollup.counted.held_share, n=n, value=round(1000 * good / n))
    said_ = headline(replace(rollup, counted=replace(rollup.counted, held_share=held)))
    assert f"; {good} of {n} change" in said_


def test_the_week_is_named_as_people_name_it() -> None:
    assert period(WEEK) == "Week 48, 16 to 22 November 2026"
    over = Appointment(0, time(9)).last(datetime(2027, 1, 4, 12, tzinfo=UTC))
    assert period(over) == "Week 1, 28 December to 3 January 2027"


# --- the whole message ------------------------------------------------------------------------------------------------


def test_everything_that_was_asked_for_stands_in_it() -> None:
    quality = Quality(
        Share(14, 17),
        (("diagnosis", Share(5, 6)), ("remediation", Share(9, 11))),
        (("gpt-5", Share(9, 11)), ("rules", Share(5, 6))),
        (Complaint("r2", "", "U1", FeedbackCategory.WRONG_CAUSE, "it was the index", NOON),),
    )  # fmt: skip
    body = weekly(
        report(
            quality=quality, mishaps=(mishap(detail="sent, and no answer came"),), waiting=2, broken=1,
            suggestions=("kubernetes_rollback in staging could run without asking: 12 of 12 held.",),
            head=Head(770, "ab" * 32, 512, NOON, ("git", "s3")),
        ),
        LINKS,
        "F07CHART",
    )  # fmt: skip
    accepted(body)
    said_ = words(body)
    for part in (
        "17 from 271 alerts",
        "12: 10 verified (1 taken back later), 2 went wrong",
        "73 % (43 to 90 %) · n 11",
        "2 min, nine of ten within 11 min · n 10, 2 open now",
        "*Estimated*, from baselines",
        "By hand it is taken to be: diagnosis 20 min (assumed), remediation 35 min (assumed)",
        "shop/service-0",
        "and 3 more",
        f"*Best case*  shop/checkout, 2 min: the shortest from alert to verified (<{LINKS['i1']}|thread>)",
        f"(<{LINKS['r2']}|thread>)",
        "• Unknown: roll back checkout: sent, and no answer came",
        "1 run ended with an error",
        "271 alerts became 17 incidents; 254 repeats of an open incident, 3 of a group or a storm opened nothing.",
        "👍 14 of 17 (82 %, 95 % interval 59 to 94 %)",
        "diagnosis 5 of 6, remediation 9 of 11 · by gpt-5 9 of 11, rules 5 of 6",
        "👎 1 wrong cause",
        "“it was the index”",
        "could run without asking",
        "ab" * 32,
        "Signed up to event 512",
        "held by git, s3",
    ):
        assert part in said_, part
    picture = next(block for block in body.blocks if block["type"] == "image")
    assert picture["slack_file"] == {"id": "F07CHART"}
    assert "8 of 11 changes held" in picture["alt_text"]


def test_a_calm_week_says_that_nothing_went_wrong_and_nobody_rated() -> None:
    said_ = words(weekly(report(head=Head(1, "ab" * 32)), {}))
    assert "Nothing failed, was taken back, or was left unverified." in said_
    assert "Nobody rated one." in said_
    assert "Not signed yet" in said_
    assert "image" not in said_, "without a chart there is no picture"


def test_measured_stands_apart_from_estimated() -> None:
    kinds = [str(block) for block in weekly(report(), {}).blocks]
    measured = next(n for n, block in enumerate(kinds) if "*Measured*" in block)
    estimated = next(n for n, block in enumerate(kinds) if "*Estimated*" in block)
    assert "Alert to diagnosis" in kinds[measured + 1]
    assert "saved" not in kinds[measured + 1]
    assert "saved, net" in kinds[estimated + 1]


def test_a_model_whose_price_nobody_knows_costs_no_nothing() -> None:
    rollup = busy()
    unknown = replace(rollup.measured.model_cost, value=None)
    body = weekly(report(replace(rollup, measured=replace(rollup.measured, model_cost=unknown))), {})
    assert "model without a known price" in words(body)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=NASTY, count=st.integers(0, 40))
def test_a_week_of_any_text_fits_slack_and_is_tame(text: str, count: int) -> None:
    complaint = Complaint(text, text, text, FeedbackCategory.OTHER, text, NOON)
    case = Case(text, 1, text, text, WorkKind.QUESTION, WorkOutcome.FAILED, text, 10)
    rollup = busy(by_service=tuple(group(f"{text}{n}", 3) for n in range(count)), best=case, worst=replace(case, seq=2))
    body = weekly(
        report(
            rollup,
            quality=Quality(Share(1, 2), (), ((text, Share(0, 1)), ("b", Share(1, 1))), (complaint,) * count),
            mishaps=tuple(mishap(wrong, text, action=action_of(target=Target(name=text))) for wrong in Wrong) * count,
            suggestions=(text,) * count,
            head=Head(1, "ab" * 32, 1, NOON, (text,) * 3),
        ),
        {},
        "F1",
    )
    accepted(body)
    tame(body)
    assert "Journal at event 1" in str(body.blocks[-1]), "nothing is cut off"


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "words_"),
    [
        (None, "ms", "–"), (999, "ms", "999 ms"), (1400, "ms", "1.4 s"), (4000, "ms", "4 s"), (61_000, "ms", "1 min"),
        (-3600, "s", "−1 h"), (0, "micros", "$0.00"), (4, "micros", "less than 1 ct"), (3_120_000, "micros", "$3.12"),
        (727, "permille", "73 %"), (12_345, "count", "12,345"),
    ],
)  # fmt: skip
def test_amounts_are_said_as_people_say_them(value: int | None, unit: str, words_: str) -> None:
    assert amount(value, unit) == words_


def test_a_figure_is_said_with_its_n_and_a_share_with_its_interval() -> None:
    assert said(busy().counted.held_share) == "73 % (43 to 90 %) · n 11"
    assert said(busy().measured.to_diagnosis) == "4 s · n 10"


def test_services_are_called_by_place_and_name() -> None:
    assert cards_figures.service("kubernetes/shop/Deployment/checkout") == "shop/checkout"
    assert cards_figures.service("jenkins/shop/deploy") == "shop/deploy"
    assert cards_figures.service("checkout") == "checkout"


def test_the_figures_of_a_period_are_one_answer_with_or_without_work() -> None:
    accepted(cards_figures.roi(busy(), 1, CALM, {}, "F07CHART"))
    empty = rollup_of()
    accepted(cards_figures.roi(empty, 0, CALM, {}))
    assert "nobody was asked" in words(cards_figures.roi(replace(empty, measured=replace(
        empty.measured, wait_p50=replace(empty.measured.wait_p50, n=0))), 0, CALM, {}))  # fmt: skip


# --- App Home ---------------------------------------------------------------------------------------------------------


def status(**more: Any) -> Status:
    fields: dict[str, Any] = {"paused": "", "model": "rules", "policy_hash": "f" * 64, "policy_problems": (),
                              "open_incidents": (), "pending": (), "running": ()} | more  # fmt: skip
    return Status(Mode.PROPOSE, **fields)


def test_home_says_first_what_matters_most() -> None:
    def top(now: Status) -> str:
        return str(cards_home.home(now, {})["blocks"][0]["text"]["text"])

    waiting, incident = (Approval(request_of()),), (incident_of(),)
    assert top(status()) == "✅ All quiet"
    assert top(status(open_incidents=incident)) == "🔎 1 incident open, nothing waits for you"
    assert top(status(open_incidents=incident, pending=waiting)) == "⏳ 1 request waits for a vote"
    assert top(status(paused="why", pending=waiting)) == "⏸️ Paused"


def test_home_shows_four_figures_with_their_n_the_brakes_and_what_is_signed() -> None:
    now = status(week=busy(), brakes=("kubernetes_scale only observes: 3 failed.",))
    view = cards_home.home(now, {"weekly": "https://acme.slack.com/w"}, Head(9, "ab" * 32, 8, NOON))
    assert view_problems(view) == []
    fields = next(block["fields"] for block in view["blocks"] if "fields" in block)
    assert len(fields) == 4
    assert all(" n " in field["text"] for field in fields[1:])
    for part in ("3 failed", "<https://acme.slack.com/w|Last week's report>", "Journal signed up to event 8"):
        assert part in str(view)
