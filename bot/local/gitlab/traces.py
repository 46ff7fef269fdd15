"""What a job's log looks like: the runner's sections and colours, the script's own lines, and the end."""

from __future__ import annotations

from bot.local.gitlab.model import Job, Outcome

_RUNNER = "gitlab-runner 18.4.0 (139a0ac0)"
_CLEAR, _RESET = "\x1b[0K", "\x1b[0;m"


def trace(job: Job, outcome: Outcome) -> str:
    """The whole log of a finished job."""
    began = int((job.started_at or job.created_at).timestamp())
    parts = [f"{_CLEAR}Running with {_RUNNER}{_RESET}\n  on linux-3 t3_kx9B2y, system ID: s_6f1c\n"]
    parts.append(
        _section(
            "prepare_executor",
            began,
            'Preparing the "docker" executor',
            ["Using Docker executor with image python:3.12 ..."],
        )
    )
    parts.append(
        _section(
            "prepare_script", began + 1, "Preparing environment", ["Running on runner-t3kx9b2y-project via linux-3..."]
        )
    )
    if outcome.reason == "runner_system_failure":
        return "".join(parts) + _system_failure(outcome)
    sha = job.pipeline.sha[:8]
    source = [f"Checking out {sha} as detached HEAD (ref is {job.pipeline.ref})..."]
    parts.append(_section("get_sources", began + 2, "Getting source from Git repository", source))
    script = [f"\x1b[32;1m$ {line}{_RESET}" for line in job.step.script.split("\n")]
    parts.append(
        _section("step_script", began + 4, 'Executing "step_script" stage of the job script', [*script, *outcome.lines])
    )
    if any(failure for _, _, failure in outcome.tests) or outcome.tests:
        when = "failure" if outcome.reason else "success"
        upload = [
            "Uploading artifacts...",
            "report.xml: found 1 matching artifact files and directories",
            f'Uploading artifacts as "junit" to coordinator... 201 Created  id={job.id} responseStatus=201 Created',
        ]
        parts.append(
            _section(
                f"upload_artifacts_on_{when}",
                began + 6,
                f"Uploading artifacts for {'failed' if outcome.reason else 'successful'} job",
                upload,
            )
        )
    parts.append(
        _section("cleanup_file_variables", began + 7, "Cleaning up project directory and file based variables", [])
    )
    return "".join(parts) + _end(outcome)


def _section(name: str, at: int, header: str, lines: list[str]) -> str:
    body = "".join(f"{line}\n" for line in lines)
    begin = f"section_start:{at}:{name}\r{_CLEAR}{_CLEAR}\x1b[36;1m{header}{_RESET}{_RESET}\n"
    return f"{begin}{body}{_CLEAR}section_end:{at + 1}:{name}\r{_CLEAR}"


def _system_failure(outcome: Outcome) -> str:
    why = (
        outcome.lines[0]
        if outcome.lines
        else "prepare environment: waiting for pod running: timed out waiting for pod to start"
    )
    return f"\x1b[31;1mERROR: Job failed (system failure): {why}\n{_RESET}"


def _end(outcome: Outcome) -> str:
    if not outcome.reason:
        return f"\x1b[32;1mJob succeeded\n{_RESET}"
    if outcome.reason == "job_execution_timeout":
        return f"\x1b[31;1mERROR: Job failed: execution took longer than 1h0m0s seconds\n{_RESET}"
    return f"\x1b[31;1mERROR: Job failed: exit code {outcome.exit_code}\n{_RESET}"
