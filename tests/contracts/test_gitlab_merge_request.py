"""Merge requests in GitLab over the wire: the diff that is shown is the one that is sent, once, and nothing is merged."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.local.gitlab.model import REPORTER, MergeRequest
from bot.local.gitlab.world import BROKEN_TAX, JONAS, TAX
from bot.tools.gitlab_merge_request import SHOWN, branch_of
from domain.errors import ArgumentsRefused, OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.gitlab_shop import CHECKOUT, Shop, shop

OPEN = "gitlab_open_merge_request"
CONFIG = "checkout/config.yaml"
WAIT: dict[str, Any] = {
    "project": CHECKOUT,
    "target_branch": "main",
    "title": "Wait 4 s for payments",
    "description": "Payments answer in 3.1 s at the 99th percentile.",
    "edits": [{"path": CONFIG, "old": "timeout_ms: 2500", "new": "timeout_ms: 4000"}],
}
BRANCH = "personal-agent/exe-7"


@pytest.fixture
async def gitlab() -> AsyncIterator[Shop]:
    async with shop() as running:
        yield running


def head(gitlab: Shop, branch: str = "main") -> str:
    return gitlab.project.repository.branches[branch].head


def tree(gitlab: Shop, branch: str) -> dict[str, bytes]:
    return dict(gitlab.project.repository.commits[head(gitlab, branch)].tree)


def opened(gitlab: Shop) -> MergeRequest:
    [found] = gitlab.project.merge_requests
    return found


def with_edit(**edit: str) -> dict[str, Any]:
    return {**WAIT, "edits": [{**WAIT["edits"][0], **edit}]}


# --- what is shown and what is sent


async def test_a_preview_is_the_whole_diff_and_asks_for_nothing(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    assert action.diff.split("\n") == [
        "POST /projects/shop%2Fcheckout/repository/commits",
        f"# branch personal-agent/<the id of this execution>, from main at {head(gitlab)[:12]}",
        "# message: Wait 4 s for payments; the branch's pipeline runs, as for any push",
        f"--- a/{CONFIG}",
        f"+++ b/{CONFIG}",
        "@@ -1,3 +1,3 @@",
        "-timeout_ms: 2500",
        "+timeout_ms: 4000",
        " retries: 2",
        " backoff_ms: 200",
        "POST /projects/shop%2Fcheckout/merge_requests",
        "# Wait 4 s for payments: into main. People merge it, this agent does not.",
        f"# no undo: {action.facts['no_undo']}",
    ]
    assert (action.touches, str(action.target), action.undo) == (1, "gitlab:shop/checkout", None)
    assert "close the merge request and delete its branch" in action.facts["no_undo"]
    assert action.observed["head"] == head(gitlab)
    assert gitlab.changes == []


async def test_what_was_approved_stands_on_a_branch_of_its_own_and_main_is_as_it_was(gitlab: Shop) -> None:
    before = head(gitlab)
    action = await gitlab.propose(OPEN, **WAIT)
    said = await gitlab.execute(action, "exe-7")
    made = opened(gitlab)
    assert said.startswith(f"Opened merge request !{made.iid} in shop/checkout, {BRANCH} into main: http://")
    assert (made.source, made.target, made.title, made.state) == (BRANCH, "main", "Wait 4 s for payments", "opened")
    assert "exe-7" in made.description
    assert made.description.startswith("Payments answer in 3.1 s")
    assert head(gitlab) == before
    assert tree(gitlab, BRANCH) == {
        **tree(gitlab, "main"), CONFIG: b"timeout_ms: 4000\nretries: 2\nbackoff_ms: 200\n",
    }  # fmt: skip
    assert gitlab.project.repository.commits[head(gitlab, BRANCH)].parents == (before,)
    commit, request = gitlab.changes
    assert [asked.path.rpartition("/")[2] for asked in (commit, request)] == ["commits", "merge_requests"]
    assert (commit.body["branch"], commit.body["start_sha"]) == (BRANCH, before)
    assert "force" not in commit.body
    assert commit.body["actions"][0]["last_commit_id"] == gitlab.project.repository.last_change(before, CONFIG)
    probe = await gitlab.ended(action)
    assert [(check.name, check.passed) for check in probe.checks] == [
        ("merge request is there", True), ("its diff is what was approved", True),
    ]  # fmt: skip
    assert await gitlab.arrived(action, "exe-7") is True


async def test_several_files_and_a_new_one_are_one_commit(gitlab: Shop) -> None:
    edits = [
        *WAIT["edits"],
        {"path": "docs/timeouts.md", "old": "", "new": "# Timeouts\n\nPayments: 4 s"},
        {"path": CONFIG, "old": "retries: 2\n", "new": ""},
    ]
    action = await gitlab.propose(OPEN, **{**WAIT, "edits": edits})
    assert (
        "--- /dev/null\n+++ b/docs/timeouts.md\n@@ -0,0 +1,3 @@\n+# Timeouts\n+\n+Payments: 4 s\n\\ No newline"
        in action.diff
    )
    assert action.touches == 2
    await gitlab.execute(action, "exe-7")
    made = tree(gitlab, BRANCH)
    assert made["docs/timeouts.md"] == b"# Timeouts\n\nPayments: 4 s"
    assert made[CONFIG] == b"timeout_ms: 4000\nbackoff_ms: 200\n"
    assert (await gitlab.ended(action)).passed


# --- a commit taken back


async def test_a_commit_is_taken_back_and_the_card_shows_how(gitlab: Shop) -> None:
    bad = gitlab.gitlab.break_build().sha
    action = await gitlab.propose(
        OPEN, project=CHECKOUT, target_branch="main", title="Taxes as before", revert=bad[:12]
    )
    assert '# message: Revert "Unknown regions pay no tax"' in action.diff
    assert "+    return net + (net * RATES[region] + 50) // 100" in action.diff
    await gitlab.execute(action, "exe-7")
    assert tree(gitlab, BRANCH)["checkout/tax.py"] == TAX
    message = gitlab.project.repository.commits[head(gitlab, BRANCH)].message
    assert message.startswith(f'Revert "Unknown regions pay no tax"\n\nThis reverts commit {bad}.')
    assert (await gitlab.ended(action)).passed


async def test_what_others_changed_in_the_file_since_is_kept(gitlab: Shop) -> None:
    bad = gitlab.gitlab.break_build().sha
    later = BROKEN_TAX.replace(b'"SE": 25', b'"SE": 26')
    gitlab.gitlab.push(CHECKOUT, {"checkout/tax.py": later}, "Sweden")
    action = await gitlab.propose(OPEN, project=CHECKOUT, target_branch="main", title="Taxes as before", revert=bad)
    await gitlab.execute(action, "exe-7")
    assert tree(gitlab, BRANCH)["checkout/tax.py"] == TAX.replace(b'"SE": 25', b'"SE": 26')


async def test_files_that_a_commit_made_go_and_those_it_took_away_come_back(gitlab: Shop) -> None:
    repository = gitlab.project.repository
    was = tree(gitlab, "main")
    now = {**was, "new.txt": b"new\n"}
    del now["README.md"]
    bad = repository.commit("main", now, "Tidy", "Jonas", "jonas@acme.dev", repository.commits[head(gitlab)].at).sha
    action = await gitlab.propose(OPEN, project=CHECKOUT, target_branch="main", title="As it was", revert=bad)
    assert "--- a/new.txt\n+++ /dev/null" in action.diff
    assert "--- /dev/null\n+++ b/README.md" in action.diff
    await gitlab.execute(action, "exe-7")
    assert tree(gitlab, BRANCH) == was
    assert (await gitlab.ended(action)).passed


async def test_what_cannot_be_taken_back_with_certainty_is_refused(gitlab: Shop) -> None:
    bad = gitlab.gitlab.break_build().sha
    asked = {"project": CHECKOUT, "target_branch": "main", "title": "Taxes as before"}
    changed = BROKEN_TAX.replace(b"// 1000", b"// 100")
    gitlab.gitlab.push(CHECKOUT, {"checkout/tax.py": changed}, "Percent")
    with pytest.raises(
        ToolError, match=r"checkout/tax\.py was changed since: what this commit did to it is no longer there"
    ):
        await gitlab.propose(OPEN, **asked, revert=bad)
    gitlab.gitlab.push(CHECKOUT, {"checkout/tax.py": TAX}, "Back")
    with pytest.raises(ToolError, match=r"Nothing of .* is left on this branch: it was taken back already"):
        await gitlab.propose(OPEN, **asked, revert=bad)
    first = next(iter(gitlab.project.repository.commits))
    with pytest.raises(ToolError, match="the first commit of shop/checkout"):
        await gitlab.propose(OPEN, **asked, revert=first)
    with pytest.raises(ToolError, match="There is no commit 1234567 in shop/checkout"):
        await gitlab.propose(OPEN, **asked, revert="1234567")
    assert gitlab.changes == []


# --- what is refused before anybody is asked


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"old": "timeout_ms: 9"}, r"occurs nowhere in checkout/config\.yaml, and has to occur once"),
        ({"old": "s: 2"}, r"occurs 3 times in checkout/config\.yaml"),
        ({"old": ""}, r"is there already: an edit of it names the text to replace"),
        ({"path": "checkout/none.yaml"}, r"There is no checkout/none\.yaml on this branch"),
        ({"new": "timeout_ms: 2500"}, "would stay as it is"),
        ({"path": ".gitlab-ci.yml", "old": "build"}, "it defines the pipeline, which runs with the project's secrets"),
        ({"path": "ci/x.gitlab-ci.yml", "old": ""}, "it defines the pipeline"),
        ({"path": ".gitlab/CODEOWNERS", "old": ""}, "it says whose approval a change takes"),
        ({"path": "docs/codeowners", "old": ""}, "it says whose approval a change takes"),
        ({"path": ".gitlab/merge_request_templates/a.md", "old": ""}, "it configures GitLab itself"),
        ({"path": "../other/x", "old": ""}, "it is no path within the repository"),
        ({"path": "/etc/passwd", "old": ""}, "it is no path within the repository"),
        ({"path": "a//b", "old": ""}, "it is no path within the repository"),
        ({"path": ".git/config", "old": ""}, "it belongs to git itself"),
        ({"new": "timeout_ms: 4000 # glpat-abcDEF123456ghiJKL78"}, "has what looks like a secret"),
    ],
)
async def test_an_edit_that_is_not_certain_or_not_for_an_agent_is_refused(
    gitlab: Shop, change: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ToolError, match=sentence):
        await gitlab.propose(OPEN, **with_edit(**change))
    assert gitlab.changes == []


async def test_what_the_pipelines_definition_takes_in_is_part_of_it(gitlab: Shop) -> None:
    ci = b"include:\n  - local: '/ci/deploy.yml'\n  - local: ci/jobs/*.yml\n"
    files = {".gitlab-ci.yml": ci, "ci/deploy.yml": b"a: 1\n", "ci/other.yml": b"a: 1\n"}
    gitlab.gitlab.push(CHECKOUT, files, "Split")
    for path in ("ci/deploy.yml", "ci/jobs/new.yml"):
        with pytest.raises(ToolError, match="it defines the pipeline"):
            await gitlab.propose(OPEN, **with_edit(path=path, old="a: 1" if "deploy" in path else ""))
    assert (await gitlab.propose(OPEN, **with_edit(path="ci/other.yml", old="a: 1"))).touches == 1


async def test_a_revert_does_not_bring_a_pipelines_definition_back_either(gitlab: Shop) -> None:
    bad = gitlab.gitlab.push(CHECKOUT, {".gitlab-ci.yml": b"stages: [build]\n"}, "Less").sha
    with pytest.raises(ToolError, match="it defines the pipeline"):
        await gitlab.propose(OPEN, project=CHECKOUT, target_branch="main", title="More again", revert=bad)


async def test_a_change_that_a_card_cannot_show_whole_is_refused(gitlab: Shop) -> None:
    long = "".join(f"key_{n}: value of the setting number {n}\n" for n in range(120))
    bad = gitlab.gitlab.push(CHECKOUT, {"long.yaml": long.encode()}, "Long").sha
    with pytest.raises(ToolError, match=f"a card shows {SHOWN}: nobody could approve what is not seen whole"):
        await gitlab.propose(OPEN, project=CHECKOUT, target_branch="main", title="Short again", revert=bad)


async def test_arguments_that_a_card_would_cut_are_refused_although_the_diff_is_short(gitlab: Shop) -> None:
    lines = "".join(f"line {n}: as it is and as it stays, whatever else is changed\n" for n in range(45))
    gitlab.gitlab.push(CHECKOUT, {"long.txt": f"{lines}old\n".encode()}, "Long")
    with pytest.raises(ToolError, match=r"The call takes \d+ characters, and a card shows 4000"):
        await gitlab.propose(OPEN, **with_edit(path="long.txt", old=f"{lines}old", new=f"{lines}new"))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"revert": "0" * 12}, "give either revert, or edits"),
        ({"edits": []}, "give either revert, or edits"),
        ({"description": "Fine.\n/merge"}, "GitLab would carry it out as a quick action"),
        ({"description": " /approve"}, "quick action"),
        ({"title": "a\nb: c"}, "must be one line"),
        ({"target_branch": "main..x"}, "is not the name of a branch"),
        ({"target_branch": "-f"}, "is not the name of a branch"),
        ({"revert": "HEAD", "edits": []}, "must be a commit's sha"),
        ({"edits": [{"path": "a", "old": "", "new": "safe\u202eevil"}]}, r"nobody sees on a card \(U\+202E\)"),
        (
            {"edits": [{"path": "a", "old": "", "new": "token: [secret:gitlab-token:ab12]"}]},
            "a mask that stands for a secret",
        ),
    ],
)
def test_arguments_that_say_more_than_a_card_shows_are_refused(
    gitlab: Shop, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ArgumentsRefused, match=sentence):
        gitlab.tools[OPEN].understand({**WAIT, **more})


async def test_a_branch_or_a_project_that_is_not_there_is_named(gitlab: Shop) -> None:
    with pytest.raises(ToolError, match="There is no branch release in shop/checkout"):
        await gitlab.propose(OPEN, **{**WAIT, "target_branch": "release"})
    with pytest.raises(ToolError):
        await gitlab.propose(OPEN, **{**WAIT, "project": "shop/none"})


async def test_what_is_no_text_is_not_edited(gitlab: Shop) -> None:
    gitlab.gitlab.push(CHECKOUT, {"logo.png": b"\x89PNG\x00\xff"}, "Logo")
    with pytest.raises(ToolError, match=r"logo\.png is not text in UTF-8"):
        await gitlab.propose(OPEN, **with_edit(path="logo.png", old="PNG"))


# --- a moved target


async def test_a_commit_on_the_branch_since_the_card_refuses_the_execution(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.push(CHECKOUT, {"README.md": b"# other\n"}, "Other", user=JONAS)
    with pytest.raises(TargetMoved, match="head "):
        await gitlab.execute(action)
    gitlab.gitlab.push(CHECKOUT, {CONFIG: b"timeout_ms: 3000\n"}, "Mine", user=JONAS)
    with pytest.raises(TargetMoved, match=r"occurs nowhere in .* Nothing was done"):
        await gitlab.execute(action)
    assert gitlab.changes == []


# --- once, and lost answers


async def test_a_second_execution_of_the_same_finds_what_is_there(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    await gitlab.execute(action, "exe-7")
    again = await gitlab.execute(action, "exe-7")
    assert again.startswith(f"Opened merge request !{opened(gitlab).iid} ")
    assert len(gitlab.changes) == 2
    opened(gitlab).state = "closed"
    await gitlab.execute(action, "exe-7")
    assert opened(gitlab).state == "closed", "what people closed is not opened once more"
    assert len(gitlab.changes) == 2


async def test_a_lost_commit_is_found_again_and_not_made_twice(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.fail("POST", "/repository/commits", "drop")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action, "exe-7")
    assert gitlab.project.merge_requests == []
    assert await gitlab.arrived(action, "exe-7") is None, "there is a branch, and no merge request"
    made = head(gitlab, BRANCH)
    await gitlab.execute(action, "exe-7")
    assert head(gitlab, BRANCH) == made
    assert await gitlab.arrived(action, "exe-7") is True


async def test_a_lost_merge_request_is_found_again(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.fail("POST", "/merge_requests", "drop")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action, "exe-7")
    assert await gitlab.arrived(action, "exe-7") is True
    assert await gitlab.arrived(action, "exe-8") is False
    assert (await gitlab.probe(action)).passed


async def test_what_never_came_is_said_not_to_have(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.fail("POST", "/repository/commits", "504")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action, "exe-7")
    assert await gitlab.arrived(action, "exe-7") is False


@pytest.mark.parametrize("status", ["429", "503"])
async def test_where_no_merge_request_can_be_opened_the_branch_goes_again(gitlab: Shop, status: str) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.fail("POST", "/merge_requests", status)
    with pytest.raises(ToolError, match="Its branch was deleted again, so that nothing is left of it") as caught:
        await gitlab.execute(action, "exe-7")
    assert caught.value.retryable
    assert BRANCH not in gitlab.project.repository.branches
    assert await gitlab.arrived(action, "exe-7") is False


async def test_a_branch_that_cannot_be_deleted_again_is_said_to_be_left(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.fail("POST", "/merge_requests", "403")
    gitlab.gitlab.fail("DELETE", "/branches/", "403")
    with pytest.raises(ToolError, match=f"The branch {BRANCH} was made, and is left behind"):
        await gitlab.execute(action, "exe-7")


async def test_a_branch_that_is_somebody_elses_is_left_alone(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.push(CHECKOUT, {"x": b"1"}, "Mine", branch=BRANCH)
    with pytest.raises(ToolError, match="is there already, and is not of this execution"):
        await gitlab.execute(action, "exe-7")
    assert gitlab.changes == []


async def test_a_role_that_is_too_low_is_a_refusal(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    gitlab.gitlab.tokens[gitlab.gitlab.token].projects[CHECKOUT] = REPORTER
    with pytest.raises(ToolError, match="does not let this agent commit to personal-agent/exe-7"):
        await gitlab.execute(action, "exe-7")


# --- the probe


MANIFEST = b"""kind: Deployment
metadata:
  name: checkout
spec:
  template:
    spec:
      containers:
        - name: checkout
          resources:
            requests:
              memory: 1Gi  # as measured in 2023
"""
SIZE = {
    "project": CHECKOUT,
    "target_branch": "main",
    "title": "checkout: memory 1Gi to 384Mi",
    "resources": [
        {"path": "deploy.yaml", "kind": "Deployment", "namespace": "shop", "name": "checkout", "container": "checkout",
         "requests": {"memory": "384Mi"}}
    ],
}  # fmt: skip


async def test_requests_are_set_in_the_manifest_and_the_card_shows_the_one_line(gitlab: Shop) -> None:
    gitlab.gitlab.push(CHECKOUT, {"deploy.yaml": MANIFEST}, "As it runs")
    action = await gitlab.propose(OPEN, **SIZE)
    changed = [line for line in action.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        "-              memory: 1Gi  # as measured in 2023",
        "+              memory: 384Mi  # as measured in 2023",
    ]
    await gitlab.execute(action, "exe-7")
    assert tree(gitlab, BRANCH)["deploy.yaml"] == MANIFEST.replace(b"1Gi", b"384Mi")
    assert tree(gitlab, "main")["deploy.yaml"] == MANIFEST
    assert (await gitlab.probe(action)).passed


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "There is no deploy.yaml"),
        ({"deploy.yaml": b"kind: Deployment\n"}, "has no container checkout"),
        ({"deploy.yaml": MANIFEST.replace(b"1Gi", b"384Mi")}, "says so already"),
        ({"deploy.yaml": b'{{ include "checkout" . }}\n: [\n'}, "perhaps a template"),
    ],
)
async def test_a_manifest_that_cannot_be_set_for_certain_is_left(
    gitlab: Shop, files: dict[str, bytes], sentence: str
) -> None:
    if files:
        gitlab.gitlab.push(CHECKOUT, files, "As it runs")
    with pytest.raises(ToolError, match=sentence):
        await gitlab.propose(OPEN, **SIZE)
    assert gitlab.changes == []


async def test_a_merge_request_that_was_merged_at_once_holds(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    await gitlab.execute(action)
    gitlab.gitlab.merge(opened(gitlab))
    probe = await gitlab.probe(action)
    assert probe.passed
    assert probe.checks[0].detail.endswith("is merged")


async def test_a_merge_request_that_was_closed_or_changed_does_not_hold(gitlab: Shop) -> None:
    action = await gitlab.propose(OPEN, **WAIT)
    assert (await gitlab.probe(action)).checks[0].detail == "there is none"
    await gitlab.execute(action, "exe-7")
    gitlab.gitlab.push(CHECKOUT, {CONFIG: b"timeout_ms: 60000\n"}, "Much more", branch=BRANCH)
    probe = await gitlab.probe(action)
    assert (probe.settled, probe.checks[1].detail) == (True, f"{CONFIG} became something else")
    gitlab.gitlab.push(CHECKOUT, {"x": b"1"}, "And more", branch=BRANCH)
    assert (await gitlab.probe(action)).checks[1].detail == f"it changes {CONFIG}, x"
    opened(gitlab).state = "closed"
    assert (await gitlab.probe(action)).checks[0].detail == f"!{opened(gitlab).iid} is closed"


def test_a_branch_is_named_by_the_execution_whatever_that_is_called() -> None:
    assert branch_of("exe-1a2b3c4d5e6f") == "personal-agent/exe-1a2b3c4d5e6f"
    assert branch_of("../main") == branch_of("../main") != branch_of("../main2")
    assert branch_of("../main").startswith("personal-agent/")
    assert ".." not in branch_of("../main")


async def test_content_goes_as_it_is_byte_for_byte(gitlab: Shop) -> None:
    gitlab.gitlab.push(CHECKOUT, {"win.ini": b"[a]\r\nx=1\r\n\x0cy=\xc3\xa9"}, "Windows")
    action = await gitlab.propose(OPEN, **with_edit(path="win.ini", old="x=1", new="x=2"))
    await gitlab.execute(action, "exe-7")
    [sent] = gitlab.changes[0].body["actions"]
    assert base64.b64decode(sent["content"]) == b"[a]\r\nx=2\r\n\x0cy=\xc3\xa9"
