"""The failing step in a job's log: GitLab's sections, Jenkins' stages, what tests print, and logs that are none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, strategies as st

from bot.tools.ci_logs import LARGEST, Failure, failed_tests, find_failure, plain, read_steps, shortened


def section(name: str, *lines: str, header: str = "") -> str:
    body = "".join(f"{line}\n" for line in lines)
    begin = f"section_start:1700000000:{name}\r\x1b[0K\x1b[0K\x1b[36;1m{header or name}\x1b[0;m\x1b[0;m\n"
    return f"{begin}{body}\x1b[0Ksection_end:1700000009:{name}\r\x1b[0K"


def ran(command: str) -> str:
    return f"\x1b[32;1m$ {command}\x1b[0;m"


PYTEST = (
    "=================================== FAILURES ===================================",
    "    def test_total_with_regional_tax():",
    ">       assert total(cart) == 1190",
    "E       assert 1000 == 1190",
    "tests/test_tax.py:41: AssertionError",
    "=========================== short test summary info ============================",
    "FAILED tests/test_tax.py::test_total_with_regional_tax - assert 1000 == 1190",
    "========================= 1 failed, 212 passed in 8.41s =========================",
)
GITLAB = (
    "\x1b[0KRunning with gitlab-runner 17.5.0 (12030cf4)\x1b[0;m\n"
    + section("prepare_executor", "Using Docker executor with image python:3.12 ...", header='Preparing the "docker" executor')
    + section("get_sources", "Fetching changes with git depth set to 20...", "warning: error_log is tracked")
    + section("step_script", ran("pip install ."), "Installed 40 packages, 0 errors", ran("pytest -q"), *PYTEST)
    + section("after_script", ran("./notify.sh"), "curl: (22) error: the hook refused it")
    + section("upload_artifacts_on_failure", "WARNING: report.xml: no matching files: not found")
    + section("cleanup_file_variables", "Cleaning up project directory and file based variables")
    + "\x1b[31;1mERROR: Job failed: exit code 1\n\x1b[0;m\n"
)  # fmt: skip
JENKINS = """Started by user mara
[Pipeline] Start of Pipeline
[Pipeline] node
Running on linux-3 in /home/jenkins/workspace/shop
[Pipeline] {
[Pipeline] stage
[Pipeline] { (Build)
[Pipeline] sh
+ make build
built, 0 errors
[Pipeline] }
[Pipeline] // stage
[Pipeline] stage
[Pipeline] { (Test)
[Pipeline] sh
+ make test
[ERROR] com.acme.CartTest.total:41 expected:<1190> but was:<1000>
make: *** [Makefile:12: test] Error 1
[Pipeline] }
[Pipeline] // stage
[Pipeline] stage
[Pipeline] { (Deploy)
Stage "Deploy" skipped due to earlier failure(s)
[Pipeline] getContext
[Pipeline] }
[Pipeline] // stage
[Pipeline] stage
[Pipeline] { (Declarative: Post Actions)
[Pipeline] sh
+ ./notify.sh
curl: (22) error: the hook refused it
[Pipeline] }
[Pipeline] // stage
[Pipeline] }
[Pipeline] // node
[Pipeline] End of Pipeline
ERROR: script returned exit code 2
Finished: FAILURE
"""


def failure(log: str) -> Failure:
    found = find_failure(log)
    assert found is not None
    return found


def test_the_failing_command_is_found_although_other_sections_follow_it() -> None:
    found = failure(GITLAB)
    assert (found.section, found.command, found.step) == ("step_script", "pytest -q", "pytest -q")
    assert found.exit_code == 1
    assert found.end == "ERROR: Job failed: exit code 1"
    assert found.tests == ("tests/test_tax.py::test_total_with_regional_tax",)
    assert "E       assert 1000 == 1190".strip() in [line.strip() for line in found.errors]
    assert not any("hook" in line or "no matching" in line or "0 errors" in line for line in found.errors)
    assert ">       assert total(cart) == 1190" in found.excerpt
    assert found.infrastructure == ""


def test_the_line_is_where_a_person_finds_it_in_the_log() -> None:
    found = failure(GITLAB)
    assert found.errors[0].strip() in plain(GITLAB.split("\n")[found.line - 1])


def test_a_section_of_the_script_that_was_never_ended_is_where_it_died() -> None:
    log = (
        "section_start:1:step_script\r\x1b[0K\n"
        + section("lint", ran("ruff check ."), "All checks passed!")
        + "section_start:2:integration[collapsed=true]\r\x1b[0KIntegration tests\n"
        + "panic: runtime error: index out of range\n"
        + "\x1b[0Ksection_end:3:step_script\r\x1b[0Ksection_start:4:cleanup_file_variables\r\x1b[0KCleaning up\n"
        + "\x1b[0Ksection_end:5:cleanup_file_variables\r\x1b[0KERROR: Job failed: exit status 2\n"
    )
    found = failure(log)
    assert (found.section, found.command, found.exit_code) == ("integration", "", 2)
    assert found.errors == ("panic: runtime error: index out of range",)


def test_a_lost_runner_is_told_from_broken_code() -> None:
    log = (
        section("prepare_executor", "Preparing the docker executor")
        + section("prepare_script", "Waiting for pod ci/runner-x to be running")
        + "\x1b[31;1mERROR: Job failed (system failure): prepare environment: waiting for pod running: timed out\x1b[0;m\n"
    )
    found = failure(log)
    assert found.section == "prepare_script"
    assert found.exit_code is None
    assert found.infrastructure.startswith("Job failed (system failure)")


def test_the_failing_stage_of_a_pipeline_is_the_one_before_those_that_were_skipped() -> None:
    found = failure(JENKINS)
    assert (found.section, found.command, found.exit_code) == ("Test", "make test", 2)
    assert found.tests == ("com.acme.CartTest.total",)
    assert found.errors[-1] == "make: *** [Makefile:12: test] Error 1"


def test_a_step_without_a_command_counts_where_it_comes_last() -> None:
    log = JENKINS.replace("[Pipeline] sh\n+ make test\n", "[Pipeline] error\n")
    assert (failure(log).section, failure(log).command) == ("Test", "")


def test_an_agent_that_went_away_is_infrastructure() -> None:
    lost = "Cannot contact linux-3: java.nio.channels.ClosedChannelException\n"
    found = failure(JENKINS.replace("make: *** [Makefile:12: test] Error 1\n", lost))
    assert found.infrastructure.startswith("Cannot contact linux-3")


@pytest.mark.parametrize(
    "log", ["", "\n\n", GITLAB.split("ERROR: Job")[0] + "Job succeeded\n", "+ make\nFinished: SUCCESS\n"]
)
def test_a_log_of_success_or_of_nothing_has_no_failure(log: str) -> None:
    assert find_failure(log) is None


def test_an_error_in_a_log_that_says_it_succeeded_in_between_is_still_one() -> None:
    assert find_failure("+ make\nJob succeeded\nerror: no\nERROR: Job failed: exit code 1\n") is not None


def test_a_log_that_breaks_off_is_judged_by_what_is_there() -> None:
    found = failure("+ make\nerror: no space left on device\n")
    assert (found.command, found.exit_code, found.end) == ("make", None, "")
    assert found.infrastructure == "no space left on device"


def test_output_with_a_dollar_is_no_command_where_the_runner_colours_its_own() -> None:
    log = (
        section("step_script", ran("./prices"), "$ 12 is too much", "error: sums differ")
        + "ERROR: Job failed: exit code 3\n"
    )
    assert failure(log).command == "./prices"


def test_time_stamps_and_continued_lines_are_not_part_of_what_was_said() -> None:
    log = (
        "2026-05-22T12:43:46.962646Z 00O \x1b[32;1m$ make\x1b[0;m\n"
        "2026-05-22T12:43:46.962647Z 01O error: undefined reference to\n"
        "2026-05-22T12:43:46.962648Z 01O+ `tax'\n"
        "2026-05-22T12:43:46.962649Z 00O ERROR: Job failed: exit code 2\n"
    )
    found = failure(log)
    assert (found.command, found.exit_code) == ("make", 2)
    assert found.errors == ("error: undefined reference to `tax'",)
    assert failure("[2026-05-22T12:43:46.962Z] + make\n[2026-05-22T12:43:46.963Z] error: x\n").command == "make"


def test_of_a_very_long_log_the_middle_is_left_out_and_that_is_said() -> None:
    log = GITLAB.replace("Installed 40 packages", "\n".join(["x" * 99] * (LARGEST // 80)))
    found = failure(log)
    assert found.cut
    assert found.tests == ("tests/test_tax.py::test_total_with_regional_tax",)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("FAILED tests/a.py::test_b[x-1] - KeyError: 'a'", "tests/a.py::test_b[x-1]"),
        ("ERROR tests/a.py::test_b", "tests/a.py::test_b"),
        ("FAIL: test_total (shop.tests.Cart)", "test_total (shop.tests.Cart)"),
        ("    --- FAIL: TestTotal/tax (0.01s)", "TestTotal/tax"),
        ("test cart::total ... FAILED", "cart::total"),
        ("com.acme.CartTest > total() FAILED", "com.acme.CartTest > total()"),
        ("[ERROR]   CartTest.total:41 expected: <1> but was: <2>", "CartTest.total"),
        ("rspec ./spec/cart_spec.rb:12 # Cart has a total", "./spec/cart_spec.rb:12"),
        ("  ● Cart › has a total", "Cart › has a total"),
        ("not ok 3 - has a total # time=1ms", "has a total"),
        ("1) Tests\\Cart::testTotal", "Tests\\Cart::testTotal"),
    ],
)
def test_the_names_of_failed_tests_are_read_as_each_tool_prints_them(line: str, name: str) -> None:
    assert failed_tests([line, line, "PASSED tests/a.py::test_c"]) == (name,)


def test_a_line_is_cut_between_words_so_that_no_half_of_a_secret_passes() -> None:
    secret = "glpat-" + "x" * 40
    line = "w " * 220 + f"token {secret} was refused"
    for limit in range(430, 520):
        said = shortened(line, limit)
        assert secret in said or "glpat" not in said
    assert "glpat" not in shortened(secret, 20)


def test_an_annotation_and_a_rewritten_line_leave_what_a_person_sees() -> None:
    assert plain("\x1b[8mha:////4AAAA+base64==\x1b[0m\x1b[32mok\x1b[0m") == "ok"
    assert plain("10 %\r55 %\r100 %\r") == "100 %"


PIECES = st.sampled_from(
    [
        *("section_start:1:a\r\x1b[0K", "section_end:1:a\r\x1b[0K", "section_start:", "\x1b[32;1m$ make\x1b[0;m", "+ x"),
        *("[Pipeline] { (Test)", "[Pipeline] // stage", "ERROR: Job failed: exit code 1", "error: no", "Finished: FAILURE"),
        *("FAILED a.py::b - c", "Job succeeded", "\x1b[0m", "\x1b]0;t\x07", "\r", "x" * 600),
        *("2026-05-22T12:43:46.962646Z 00O+ y", "Failed in branch a"),
    ]
)  # fmt: skip
LOGS = st.lists(PIECES | st.text(max_size=20) | st.just("\n"), max_size=60).map("".join)


@given(LOGS)
def test_any_text_gives_a_failure_within_bounds_or_none(log: str) -> None:
    found = find_failure(log)
    if found is not None:
        assert len(found.errors) <= 12
        assert len(found.tests) <= 50
        assert len(found.excerpt.split("\n")) <= 60
        assert "\x1b" not in "".join((found.excerpt, found.command, found.section, *found.errors))
        assert 1 <= found.line <= log.count("\n") + 1


@given(LOGS)
def test_a_step_invents_nothing_and_turns_nothing_round(log: str) -> None:
    """What is shown stands in the log in the same order: only markers, colours and rewritten text are missing."""
    rest = iter(log)
    for step in read_steps(log):
        for character in "".join(step.lines):
            assert character in rest, (step, log)


@pytest.mark.parametrize(
    "line", ["1" * LARGEST, "\x1b[" * 10**6, "com > " * 150 + "\n", "[ERROR] " + "a." * 400 + "\n", "FAILED \n"]
)
def test_a_log_that_was_made_to_be_slow_is_not(line: str) -> None:
    log = line * max(1, 10**6 // len(line))
    began = time.perf_counter()
    find_failure(log)
    assert time.perf_counter() - began < 5.0


# --- more of what Jenkins prints


def jenkins(*lines: str) -> str:
    """A pipeline's log around these lines, which stand within its node."""
    head = ("[Pipeline] Start of Pipeline", "[Pipeline] node", "Running on linux-1 in /w", "[Pipeline] {")
    return "\n".join((*head, *lines)) + "\n"


def stage(name: str, *lines: str) -> tuple[str, ...]:
    return ("[Pipeline] stage", f"[Pipeline] {{ ({name})", *lines, "[Pipeline] }", "[Pipeline] // stage")


END = ("[Pipeline] }", "[Pipeline] // node", "[Pipeline] End of Pipeline")


def test_what_a_publisher_of_a_freestyle_job_says_after_the_failure_is_not_the_failure() -> None:
    log = """Running as SYSTEM
[cart] $ mvn -B verify
[ERROR]   RedisCartStoreTest.survivesFailover:31 expected: <3> but was: <2>
Build step 'Invoke top-level Maven targets' marked build as failure
ERROR: Publisher 'E-mail Notification' aborted due to exception
Archiving artifacts
Finished: FAILURE
"""
    found = failure(log)
    assert (found.command, found.tests) == ("mvn -B verify", ("RedisCartStoreTest.survivesFailover",))
    assert "Publisher" not in found.excerpt


def test_of_branches_that_run_beside_each_other_the_one_that_jenkins_says_has_failed_is_named() -> None:
    log = jenkins(
        *("[Pipeline] stage", "[Pipeline] { (Test)", "[Pipeline] parallel", "[Pipeline] { (Branch: unit)"),
        *("[Pipeline] { (Branch: lint)", "[Pipeline] sh", "[Pipeline] sh", "+ npm run lint", "+ npm test -- --ci"),
        *("  ● Button › is disabled while paying", "npm ERR! Test failed.", "[Pipeline] }", "Failed in branch unit"),
        *("[Pipeline] }", "[Pipeline] // parallel", "[Pipeline] }", "[Pipeline] // stage", *END),
        *("ERROR: script returned exit code 1", "Finished: FAILURE"),
    )
    found = failure(log)
    assert (found.section, found.command, found.exit_code) == ("unit", "npm test -- --ci", 1)


def test_what_the_pipeline_itself_threw_is_not_blamed_on_its_last_script() -> None:
    build = stage("Build", "[Pipeline] sh", "+ make", "built")
    thrown = "groovy.lang.MissingPropertyException: No such property: TARGT for class: groovy.lang.Binding"
    found = failure(jenkins(*build, *END, thrown, "\tat WorkflowScript.run(WorkflowScript:12)", "Finished: FAILURE"))
    assert (found.section, found.command, found.errors) == ("Build", "", (thrown,))
    assert "WorkflowScript:12" in found.excerpt
    blocked = "ERROR: Deploy blocked: freeze until Monday"
    after = stage("Deploy", 'Stage "Deploy" skipped due to earlier failure(s)')
    log = jenkins(*build, *stage("Approve", "[Pipeline] error"), *after, *END, blocked, "Finished: FAILURE")
    assert (failure(log).section, failure(log).errors) == ("Approve", (blocked,))
    assert log.split("\n")[failure(log).line - 1] == blocked


def test_what_a_step_said_in_full_is_not_replaced_by_its_repetition_at_the_end() -> None:
    fetch = "ERROR: Error fetching remote repo 'origin'"
    why = "stderr: fatal: unable to access 'https://git.acme.dev/shop.git/': The requested URL returned error: 503"
    checkout = stage("Declarative: Checkout SCM", "[Pipeline] checkout", fetch, why)
    found = failure(jenkins(*checkout, *END, fetch, "Finished: FAILURE"))
    assert found.section == "Declarative: Checkout SCM"
    assert why in found.errors
    assert found.infrastructure == "The requested URL returned error: 503"


def test_of_an_unstable_build_the_step_that_names_the_failed_tests_is_told_though_others_followed() -> None:
    log = jenkins(
        *stage("Test", "[Pipeline] sh", "+ pytest || true", "FAILED tests/test_a.py::test_b - assert 1 == 2"),
        *stage("Deploy", "[Pipeline] sh", "+ ./deploy.sh", "deployed"),
        *END,
        "Finished: UNSTABLE",
    )
    found = failure(log)
    assert (found.section, found.command, found.tests) == ("Test", "pytest || true", ("tests/test_a.py::test_b",))


def test_a_stage_that_was_not_wanted_ends_nothing() -> None:
    log = jenkins(
        *stage("Lint", 'Stage "Lint" skipped due to when conditional', "[Pipeline] getContext"),
        *stage("Test", "[Pipeline] sh", "+ make test", "Error: boom"),
        *END,
        "ERROR: script returned exit code 2",
        "Finished: FAILURE",
    )
    assert (failure(log).section, failure(log).command) == ("Test", "make test")
