"""Builds of Jenkins, pipelines of GitLab: which stage, step and test failed, since which commit, and which tests are flaky."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import at, count, items, mapping, plural, short, text
from bot.analyzers.findings import finding
from bot.analyzers.proposals import rebuild, retry_pipeline, revert
from bot.analyzers.reading import cite
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Evidence, Finding, Proposal

MOST_NAMED = 3
_HEX = 12
_NOUN = {"jenkins": "Build", "gitlab": "Pipeline"}


@dataclass(frozen=True)
class Flake:
    """Why a test counts as flaky: at one commit it failed in one build and passed in another."""

    test: str
    commit: str
    failed_in: int
    passed_in: int


def analyze_pipelines(scene: Scene) -> tuple[Finding, ...]:
    """What became of one build of a job, with the job's history beside it."""
    if not scene.build.ok:
        return ()
    build = scene.build.data
    if at(build, "building") is True:
        return (_running(scene, build),)
    match text(build, "result"):
        case "SUCCESS":
            return (_green(scene, build),)
        case "FAILURE" | "UNSTABLE":
            return (_failed(scene, build),)
        case "MANUAL":
            return (_waits_for_people(scene, build),)
        case result:
            title = f"{_name(scene, build)} was not finished: {result or 'no result'}"
            detail = f"{_causes(build)} Nobody says that the code is at fault, and nothing is proposed."
            return (finding("build.aborted", scene.target, title, detail, [_cited(scene, build, result)]),)


# --- one failed build -----------------------------------------------------------------------------------------------------


def _failed(scene: Scene, build: Any) -> Finding:
    tests = _failing_tests(build)
    state = mapping(build, "agent_state")
    blamed = text(build, "failure", "infrastructure")
    if not tests and (blamed or state.get("offline") is True):
        return _infrastructure(scene, build, blamed, state)
    if not tests:
        return _failed_step(scene, build)
    known = flakes(scene.builds.data)
    flaky = [known[name] for name, _ in tests if name in known]
    return _flaky(scene, build, flaky) if len(flaky) == len(tests) else _broken(scene, build, tests, known)


def flakes(history: Any) -> dict[str, Flake]:
    """The tests of a job's builds that failed and passed at one commit: of each the newest proof."""
    by_commit: dict[str, list[Mapping[str, Any]]] = {}
    for build in items(history, "builds"):
        commit = text(build, "revision", "commit")
        if commit and count(build, "tests", "total"):
            by_commit.setdefault(commit, []).append(build)
    found: dict[str, Flake] = {}
    for commit, builds in by_commit.items():
        for test in {name for build in builds for name in _names(build)}:
            failed = [count(build, "number") for build in builds if test in _names(build)]
            passed = [count(build, "number") for build in builds if _passed(build, test)]
            if failed and passed:
                proof = Flake(test, commit, max(failed), max(passed))
                older = found.get(test)
                found[test] = proof if older is None or proof.failed_in > older.failed_in else older
    return found


def _names(build: Any) -> list[str]:
    listed = at(build, "failed_tests")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _passed(build: Any, test: str) -> bool:
    """Whether a test surely passed: in a build that went to its end, for after a failed stage those of later ones never ran.

    Of a build whose failed tests were not read, only where none failed.
    """
    if text(build, "result") not in ("SUCCESS", "UNSTABLE", "MANUAL") or test in _names(build):
        return False
    return not count(build, "tests", "failed") or bool(_names(build))


def _flaky(scene: Scene, build: Any, flaky: list[Flake]) -> Finding:
    number, named = count(build, "number"), _listed(flake.test for flake in flaky)
    proofs = "; ".join(
        f"{flake.test} failed in #{flake.failed_in} and passed in #{flake.passed_in} at the same commit {flake.commit[:_HEX]}"
        for flake in flaky[:MOST_NAMED]
    )
    later = _later(scene, number)
    detail = f"{_place(build)} {proofs}. So the result says little about {_commit(build) or 'the commit'}. {later}"
    return finding(
        "build.flaky_test",
        scene.target,
        f"{_name(scene, build)} failed on a flaky test: {named}",
        detail.strip(),
        [_cited(scene, build, named), cite(scene.builds, "the job's last builds", proofs)],
        proposal=None if later else _again(scene, number, f"Only flaky tests failed: {named}. {short(proofs, 300)}."),
        next_steps=[f"Mend or quarantine {flaky[0].test}: it costs a build each time."],
        tests=[flake.test for flake in flaky][:10],
        build=number,
    )


def _broken(scene: Scene, build: Any, tests: list[tuple[str, int]], known: Mapping[str, Flake]) -> Finding:
    """Tests that nothing excuses: what came in with the build in which they began to fail is what is suspected."""
    firm = sorted((test for test in tests if test[0] not in known), key=lambda test: test[1])
    since = firm[0][1]  # 0 where one of them may have failed for longer than is known
    first, later = [test for test in firm if test[1] == since], [test for test in firm if test[1] != since]
    commits = _commits_of(scene, build, since) if since else items(scene.builds.data, "since_green", "commits")
    details = next(
        (text(case, "details") for case in items(build, "tests", "failing") if text(case, "test") == firm[0][0]), ""
    )
    suspects = _told(commits) or "no commit came in with it, so the cause lies outside of the repository"
    began = f"since #{since}" if since and since != count(build, "number") else "new in this build"
    if not since:
        suspects = _told(commits) or "not known"
        began = "since when is not known"
    also = "".join(f" {name} fails since #{number} only." for name, number in later[:MOST_NAMED])
    also += f" {plural(len(tests) - len(firm), 'flaky test')} failed as well." if len(tests) > len(firm) else ""
    return finding(
        "build.broken_test",
        scene.target,
        f"{_name(scene, build)} fails in {_stage(build)}: {_listed(name for name, _ in firm)}",
        f"{_place(build)} {_listed(name for name, _ in first)} fails {began}: {details or 'no details'}. "
        f"Suspected: {suspects}.{also}",
        [_cited(scene, build, details), cite(scene.builds, "the job's last builds", suspects)],
        confidence=Confidence.LIKELY,
        hypotheses=[(f"{_came(since)} broke it", "Run the test at the commit before")] if commits else [],
        next_steps=[f"Ask {commits[-1]['author']} about {commits[-1]['commit'][:_HEX]}, or revert it."]
        if commits
        else [],
        proposal=_back(scene, build, commits, firm) if since and not later else None,
        tests=[name for name, _ in firm][:10],
        commits=[each["commit"] for each in commits][:10],
        build=count(build, "number"),
    )


def _failed_step(scene: Scene, build: Any) -> Finding:
    errors = at(build, "failure", "errors")
    said = [line for line in errors if isinstance(line, str)][:3] if isinstance(errors, list) else []
    commits = items(scene.builds.data, "since_green", "commits")
    suspects = f" Since the last green build came in: {_told(commits)}." if commits else ""
    words = "\n".join(said)
    return finding(
        "build.failed",
        scene.target,
        f"{_name(scene, build)} fails in {_stage(build)}: {short(said[0] if said else _step(build), 60)}",
        f"{_place(build)} {text(build, 'failure', 'error')}.{suspects}\n{words}".replace(" .", " ").strip(),
        [_cited(scene, build, words), cite(scene.builds, "the job's last builds", suspects)],
        confidence=Confidence.NOT_PROVEN,
        hypotheses=[("One of the commits since the last green build broke it", "Read what they changed")]
        if commits
        else [],
        next_steps=["Read the log of the failing step; the journal keeps its excerpt."],
        commits=[text(each, "commit") for each in commits][:10],
        build=count(build, "number"),
    )


def _infrastructure(scene: Scene, build: Any, blamed: str, state: Mapping[str, Any]) -> Finding:
    agent = text(state, "name") or text(build, "agent")
    now = (
        f"Agent {agent} is offline now: {text(state, 'reason') or 'no reason is given'}."
        if state.get("offline") is True
        else ""
    )
    number = count(build, "number")
    proposal = None
    if scene.target.system == "gitlab" and not now and not _later(scene, number):
        # in GitLab a retry runs the failed jobs alone, at the same commit: what the runner broke is simply done again
        proposal = _again(scene, number, f"The machinery failed and not the code: {short(blamed, 200)}.")
    return finding(
        "build.infrastructure",
        scene.target,
        f"{_name(scene, build)} failed on the machinery, not on the code: {short(blamed or f'agent {agent} is offline', 60)}",
        f"{_place(build)} {blamed} {now}".strip(),
        [_cited(scene, build, blamed or now)],
        confidence=Confidence.LIKELY,
        proposal=proposal,
        next_steps=[f"Bring agent {agent} back, then build again." if now else "Look at the machinery that it names."],
        agent=agent,
        build=number,
    )


def _again(scene: Scene, number: int, why: str) -> Proposal:
    if scene.target.system == "gitlab":
        return retry_pipeline(_job(scene), number, why)
    return rebuild(_job(scene), number, why)


def _back(scene: Scene, build: Any, commits: list[Mapping[str, Any]], tests: list[tuple[str, int]]) -> Proposal | None:
    """Taking back the one commit that came in with the build in which the tests began to fail; of several none is known."""
    if scene.target.system != "gitlab" or len(commits) != 1:
        return None
    commit, branch = text(commits[0], "commit"), text(build, "revision", "branch")
    if not commit or not branch or text(build, "source") == "merge_request_event":
        return None  # who works on a merge request mends it there
    named = _listed(name for name, _ in tests)
    why = f"{named} fails since {_NOUN[scene.target.system]} #{tests[0][1]}, and {commit[:_HEX]} alone came in with it."
    return revert(_job(scene), branch, commit, text(commits[0], "message"), why)


# --- builds that did not fail ---------------------------------------------------------------------------------------------


def _running(scene: Scene, build: Any) -> Finding:
    waits = text(build, "waits")
    if waits:
        title = f"{_name(scene, build)} waits for an agent: {short(waits, 60)}"
        steps = ["Bring the agent back, or free an executor."]
        return finding(
            "build.waits",
            scene.target,
            title,
            f"{_causes(build)} {waits}.",
            [_cited(scene, build, waits)],
            next_steps=steps,
        )
    title = f"{_name(scene, build)} is running"
    return finding(
        "build.running", scene.target, title, _causes(build), [_cited(scene, build, "running")], healthy=True
    )


def _waits_for_people(scene: Scene, build: Any) -> Finding:
    """A pipeline that went well as far as it went, and has jobs that only a person starts."""
    waiting = [text(job, "name") for job in items(build, "jobs") if text(job, "status") == "manual"]
    title = f"{_name(scene, build)} waits for a person to start {_listed(waiting) or 'a job'}"
    detail = f"{_causes(build)} What ran is green."
    return finding("build.waits_for_people", scene.target, title, detail, [_cited(scene, build, title)], healthy=True)


def _green(scene: Scene, build: Any) -> Finding:
    detail = f"{_causes(build)} Nothing is proposed: nothing is broken now."
    title = f"{_name(scene, build)} is green"
    return finding("build.healthy", scene.target, title, detail, [_cited(scene, build, "SUCCESS")], healthy=True)


# --- parts ----------------------------------------------------------------------------------------------------------------


def _failing_tests(build: Any) -> list[tuple[str, int]]:
    """The failed tests and since which build each fails, 0 where that is not known."""
    cases = items(build, "tests", "failing")
    return [(text(case, "test"), count(case, "since")) for case in cases if text(case, "test")]


def _commits_of(scene: Scene, build: Any, number: int) -> list[Mapping[str, Any]]:
    """The commits that came in with a build of the job."""
    if number == count(build, "number"):
        return items(build, "changes")
    there = next((each for each in items(scene.builds.data, "builds") if count(each, "number") == number), {})
    return items(there, "changes")


def _told(commits: Iterable[Any]) -> str:
    return "; ".join(
        f"{text(each, 'commit')[:_HEX]} by {text(each, 'author') or 'somebody'}: {short(text(each, 'message'), 80)}"
        for each in list(commits)[-MOST_NAMED:]
    )


def _came(since: int) -> str:
    return f"The commits of #{since}" if since else "One of the commits since the last green one"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(short(name, 90) for name in names[:MOST_NAMED]) + more


def _later(scene: Scene, number: int) -> str:
    """A newer build of the job makes another try pointless."""
    newest = max((count(each, "number") for each in items(scene.builds.data, "builds")), default=number)
    waiting = text(scene.builds.data, "waits")
    if newest > number:
        return f"#{newest} was started since."
    return f"Another build waits already: {waiting}." if waiting else ""


def _job(scene: Scene) -> str:
    return "/".join(part for part in (scene.target.namespace, scene.target.name) if part)


def _name(scene: Scene, build: Any) -> str:
    return f"{_NOUN.get(scene.target.system, 'Build')} #{count(build, 'number')} of {short(scene.target.name, 40)}"


def _stage(build: Any) -> str:
    return short(text(build, "failure", "stage") or text(build, "failure", "command") or "an unnamed step", 40)


def _step(build: Any) -> str:
    return (
        text(build, "failure", "command")
        or text(build, "failure", "step")
        or text(build, "failure", "error")
        or "no words"
    )


def _place(build: Any) -> str:
    """Where it failed: stage, step and command, and what was built."""
    stage, step, command = (text(build, "failure", key) for key in ("stage", "step", "command"))
    where = " / ".join(part for part in (stage, step) if part) or "an unnamed step"
    ran = f" ({short(command, 120)})" if command else ""
    return f"It failed in {where}{ran}{', building ' + commit if (commit := _commit(build)) else ''}."


def _commit(build: Any) -> str:
    commit = text(build, "revision", "commit")
    return f"commit {commit[:_HEX]}" if commit else ""


def _causes(build: Any) -> str:
    causes = "; ".join(short(text(cause, "text"), 120) for cause in items(build, "causes"))
    return f"{causes or 'No cause is given'}."


def _cited(scene: Scene, build: Any, excerpt: str) -> tuple[Evidence, ...]:
    return cite(scene.build, f"build #{count(build, 'number')} of {_job(scene)}", excerpt)
