"""What is said of a build: flaky only by proof at one commit, the commit that a test fails since, machinery, and no guesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.analyzers import analyze, target_from_text
from bot.analyzers.pipelines import Flake, flakes
from bot.analyzers.reading import Reading
from domain.actions import Target
from domain.canonical import canonical
from domain.codec import encode
from domain.diagnosis import Confidence, Finding
from tests.unit.test_hooks import notification, read as read_hook
from tests.unit.test_jenkins_facts import JSON, KEYS

TARGET = Target("jenkins", "production", "shop/payments", "JenkinsJob", "main")
REFUND, LEDGER = "tests.test_refunds.test_twice", "tests.test_ledger.test_balance"


def build(number: int, result: str, commit: str, *failed: str, named: bool = True, **more: Any) -> dict[str, Any]:
    """A build as jenkins_builds tells it."""
    found = {
        "number": number,
        "result": result,
        "building": False,
        "revision": {"commit": commit, "branch": "main"},
        "tests": {"total": 3, "failed": len(failed), "skipped": 0},
        "changes": [{"commit": commit, "author": "Mara", "message": f"Change {commit}", "paths": ["a.py"]}],
        "causes": [{"text": "Push event to branch main"}],
    }
    if failed and named:
        found["failed_tests"] = list(failed)
    return found | more


def closer(number: int, commit: str, *failed: tuple[str, int], result: str = "FAILURE", **more: Any) -> dict[str, Any]:
    """A build as jenkins_build tells it; of each failed test, since which build it fails."""
    cases = [
        {"test": name, "since": since, "age": number - since + 1, "details": "assert 2 == 1"} for name, since in failed
    ]
    failure = {
        "stage": "Test", "step": "Shell Script", "command": "pytest -q", "error": "script returned exit code 1",
        "errors": ["E  assert 2 == 1"], "infrastructure": "", "excerpt": "",
    }  # fmt: skip
    found = build(number, result, commit)
    return found | {"tests": {"failed": len(cases), "failing": cases}, "failure": failure, "waits": "", "agent": "linux-1",
                    "agent_state": {"name": "linux-1", "offline": False, "reason": ""}} | more  # fmt: skip


class Read:
    """Answers the two reads, and remembers what was asked."""

    def __init__(self, one: Any, builds: Any, waits: str = "") -> None:
        self.answers = {"jenkins_build": one, "jenkins_builds": {"builds": builds, "waits": waits, "since_green": {}}}
        if isinstance(builds, dict):
            self.answers["jenkins_builds"] = builds
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def __call__(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        self.asked.append((tool, arguments))
        return Reading(f"E{len(self.asked)}", ok=True, data=self.answers[tool])


async def found(one: Any, builds: Any, waits: str = "") -> Finding:
    [finding] = await analyze(TARGET, None, Read(one, builds, waits))
    return finding


HISTORY = [
    build(91, "SUCCESS", "c91"),
    build(89, "SUCCESS", "c88"),
    build(88, "FAILURE", "c88", REFUND),
    build(87, "SUCCESS", "c87"),
]


async def test_a_test_that_failed_and_passed_at_one_commit_is_flaky_and_the_build_is_proposed_again() -> None:
    one = await found(closer(92, "c92", (REFUND, 92)), [build(92, "FAILURE", "c92", REFUND), *HISTORY])
    assert one.code == "build.flaky_test"
    assert one.title == f"Build #92 of main failed on a flaky test: {REFUND}"
    assert f"{REFUND} failed in #88 and passed in #89 at the same commit c88" in one.detail
    assert "It failed in Test / Shell Script (pytest -q), building commit c92." in one.detail
    assert one.proposal is not None
    assert (one.proposal.tool, one.proposal.arguments) == (
        "jenkins_trigger", {"job": "shop/payments/main", "parameters": {}, "rebuild": 92},
    )  # fmt: skip
    assert one.facts["confidence"] == Confidence.PROVEN.value
    assert {evidence.id for evidence in one.evidence} == {"E1", "E2"}


async def test_without_proof_at_one_commit_no_test_is_called_flaky_however_often_it_failed() -> None:
    history = [build(92, "FAILURE", "c92", REFUND), build(90, "SUCCESS", "c90"), build(88, "FAILURE", "c88", REFUND)]
    one = await found(closer(92, "c92", (REFUND, 92)), history)
    assert (one.code, one.proposal) == ("build.broken_test", None)


async def test_one_firm_failure_among_flaky_ones_is_no_reason_to_try_again() -> None:
    history = [build(92, "FAILURE", "c92", REFUND, LEDGER), *HISTORY]
    one = await found(closer(92, "c92", (REFUND, 92), (LEDGER, 92)), history)
    assert (one.code, one.proposal) == ("build.broken_test", None)
    assert one.facts["tests"] == [LEDGER]
    assert "1 flaky test failed as well" in one.detail


@pytest.mark.parametrize(
    ("newer", "waits", "words"),
    [
        ([build(93, "", "c93", building=True)], "", "#93 was started since"),
        ([], "in the queue", "Another build waits already"),
    ],
)
async def test_where_another_build_is_on_its_way_none_is_proposed(newer: Any, waits: str, words: str) -> None:
    history = [*newer, build(92, "FAILURE", "c92", REFUND), *HISTORY]
    one = await found(closer(92, "c92", (REFUND, 92)), history, waits)
    assert (one.code, one.proposal) == ("build.flaky_test", None)
    assert words in one.detail


async def test_a_broken_test_names_the_commit_that_came_in_when_it_began_to_fail_and_not_the_last_one() -> None:
    history = [build(94, "FAILURE", "c94", LEDGER), build(93, "FAILURE", "c93", LEDGER), build(92, "SUCCESS", "c92")]
    one = await found(closer(94, "c94", (LEDGER, 93)), history)
    assert one.title == f"Build #94 of main fails in Test: {LEDGER}"
    assert "fails since #93: assert 2 == 1. Suspected: c93 by Mara: Change c93" in one.detail
    assert "c94 by" not in one.detail
    assert one.facts["next_steps"] == ["Ask Mara about c93, or revert it."]
    assert one.facts["confidence"] == Confidence.LIKELY.value


async def test_a_test_that_breaks_without_a_commit_is_not_blamed_on_one() -> None:
    one = await found(closer(92, "c91", (LEDGER, 92), changes=[]), [build(92, "FAILURE", "c91", LEDGER, changes=[])])
    assert "no commit came in with it, so the cause lies outside of the repository" in one.detail
    assert "hypotheses" not in one.facts


async def test_a_step_that_failed_without_a_test_names_its_words_and_what_came_in_since_green() -> None:
    since = {"commits": [{"commit": "abc", "author": "Jonas", "message": "Bump"}]}
    read: Any = {"builds": HISTORY, "waits": "", "since_green": since}
    one = await found(closer(92, "c92"), read)
    assert (one.code, one.title) == ("build.failed", "Build #92 of main fails in Test: E assert 2 == 1")
    assert "Since the last green build came in: abc by Jonas: Bump." in one.detail
    assert one.facts["confidence"] == Confidence.NOT_PROVEN.value


async def test_the_machinery_is_blamed_only_where_no_test_failed() -> None:
    failure = closer(92, "c92")["failure"] | {
        "infrastructure": "Cannot contact linux-1: java.lang.InterruptedException"
    }
    state = {"name": "linux-1", "offline": True, "reason": "Connection was broken"}
    one = await found(closer(92, "c92", failure=failure, agent_state=state), HISTORY)
    assert (one.code, one.proposal) == ("build.infrastructure", None)
    assert "Agent linux-1 is offline now: Connection was broken." in one.detail
    other = await found(closer(92, "c92", (LEDGER, 92), failure=failure, agent_state=state), HISTORY)
    assert other.code == "build.broken_test"


@pytest.mark.parametrize(
    ("one", "code", "healthy"),
    [
        (closer(92, "c", result="SUCCESS"), "build.healthy", True),
        (closer(92, "c", result="", building=True), "build.running", True),
        (closer(92, "c", result="", building=True, waits="‘linux-2’ is offline"), "build.waits", False),
        (closer(92, "c", result="ABORTED"), "build.aborted", False),
        (closer(92, "c", result="NOT_BUILT"), "build.aborted", False),
    ],
)
async def test_what_did_not_fail_is_not_called_a_failure_and_nothing_is_proposed(
    one: Any, code: str, healthy: bool
) -> None:
    finding = await found(one, HISTORY)
    assert (finding.code, finding.healthy, finding.proposal) == (code, healthy, None)


async def test_the_build_that_the_alert_names_is_looked_at_else_the_last_one() -> None:
    [alert] = read_hook(notification())
    reads = Read(closer(234, "c"), [])
    await analyze(alert.target, alert, reads)
    assert ("jenkins_build", {"job": "shop/checkout/main", "number": 234}) in reads.asked
    await analyze(TARGET, None, reads)
    assert ("jenkins_build", {"job": "shop/payments/main", "number": 0}) in reads.asked


async def test_a_read_that_failed_is_said_and_a_failed_history_proposes_nothing() -> None:
    async def read(tool: str, arguments: Mapping[str, Any]) -> Reading:
        if tool == "jenkins_builds":
            return Reading("", ok=False, error="Jenkins is not ready")
        return Reading("E1", ok=True, data=closer(92, "c92", (REFUND, 92)))

    findings = await analyze(TARGET, None, read)
    assert [(one.code, one.proposal) for one in findings] == [("build.broken_test", None), ("read.failed", None)]


async def test_a_cluster_is_not_looked_at_for_a_build_nor_jenkins_for_a_job_of_a_cluster() -> None:
    reads = Read(closer(92, "c"), [])
    await analyze(TARGET, None, reads)
    assert {tool for tool, _ in reads.asked} == {"jenkins_build", "jenkins_builds"}
    assert await analyze(Target("elsewhere", "production", "shop", "Job", "migrate"), None, reads) == ()
    assert len(reads.asked) == 2
    job: list[str] = []

    async def cluster(tool: str, arguments: Mapping[str, Any]) -> Reading:
        job.append(tool)
        return Reading("", ok=False, error="no")

    await analyze(Target("kubernetes", "production", "shop", "Job", "migrate"), None, cluster)
    assert job
    assert all(tool.startswith("kubernetes_") for tool in job)


def test_a_build_that_failed_on_the_way_proves_no_pass_of_what_came_after() -> None:
    stopped = build(89, "FAILURE", "c88", LEDGER)
    assert flakes({"builds": [stopped, build(88, "FAILURE", "c88", REFUND)]}) == {}


def test_a_build_whose_failed_tests_were_not_read_proves_no_pass() -> None:
    unread = build(89, "UNSTABLE", "c88", LEDGER, named=False)
    assert flakes({"builds": [unread, build(88, "FAILURE", "c88", REFUND)]}) == {}
    passed = build(89, "UNSTABLE", "c88", LEDGER)
    proof = flakes({"builds": [passed, build(88, "FAILURE", "c88", REFUND)]})
    assert proof[REFUND] == Flake(REFUND, "c88", 88, 89)
    untested = build(89, "FAILURE", "c88", tests=None)
    assert flakes({"builds": [untested, build(88, "FAILURE", "c88", REFUND)]}) == {}, "it never got to its tests"


@given(
    st.dictionaries(KEYS | st.sampled_from(["tests", "failing", "failure", "revision", "building"]), JSON, max_size=6),
    JSON,
)
async def test_whatever_was_read_becomes_findings_that_can_be_told_and_stored(one: Any, builds: Any) -> None:
    for extra in ({"result": "FAILURE"}, {"result": "UNSTABLE", "tests": {"failing": [{"test": "a.b"}]}}, {}):
        for finding in await analyze(TARGET, None, Read({**one, **extra}, {"builds": builds, "since_green": builds})):
            assert canonical(encode(finding))
            assert finding.title.isprintable()


# --- what a sentence names


@pytest.mark.parametrize(
    ("sentence", "place"),
    [
        (
            "why did https://ci.acme.dev/jenkins/job/shop/job/checkout/job/main/234/console fail?",
            "jenkins:shop/checkout/main",
        ),
        ("<https://ci/job/shop/job/checkout/job/feature%252Ftaxes/|here>", "jenkins:shop/checkout/feature%2Ftaxes"),
        ("what is wrong with jenkins shop/deploy?", "jenkins:shop/deploy"),
        ("Jenkins job `Shop/Deploy` is red", "jenkins:Shop/Deploy"),
    ],
)
def test_a_job_is_named_by_its_link_or_behind_the_word(sentence: str, place: str) -> None:
    assert target_from_text(sentence).place == place


@pytest.mark.parametrize("sentence", ["jenkins is slow", "why is job/migrate in shop failing", "deploy shop/checkout"])
def test_without_a_job_of_jenkins_nothing_of_jenkins_is_meant(sentence: str) -> None:
    assert target_from_text(sentence).system != "jenkins"
