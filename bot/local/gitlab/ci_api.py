"""Pipelines, jobs and deployments over REST."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.local.gitlab import entities
from bot.local.gitlab.engine import Engine
from bot.local.gitlab.errors import bad_request, forbidden, invalid_parameters, not_found, refused
from bot.local.gitlab.model import DONE, STATUSES, Job, Pipeline
from bot.local.gitlab.request import Answer, Call, keyset, paged

_SCOPES = {
    "running": {"running"},
    "pending": {"pending"},
    "finished": set(DONE),
    "branches": STATUSES,
    "tags": set[str](),
}
_ORDERS = ("id", "status", "ref", "updated_at", "user_id")
_DEPLOYED = ("created", "running", "success", "failed", "canceled", "skipped", "blocked")


class CiApi:
    """The handlers; each takes a Call and gives an Answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pipelines(self, call: Call) -> Answer:
        found = list(call.project.pipelines.values())
        if ref := call.text("ref"):
            found = [line for line in found if line.ref == ref]
        if sha := call.text("sha"):
            found = [line for line in found if line.sha == sha]
        if status := call.choice("status", sorted(STATUSES)):
            found = [line for line in found if line.status == status]
        if scope := call.choice("scope", sorted(_SCOPES)):
            found = [line for line in found if line.status in _SCOPES[scope]]
        order, down = call.choice("order_by", _ORDERS, "id"), call.choice("sort", ("asc", "desc"), "desc") == "desc"
        found.sort(
            key=lambda line: (getattr(line, order) if order != "user_id" else line.user.id, line.id), reverse=down
        )
        return paged(call, [entities.pipeline(line, call.base) for line in found])

    def latest(self, call: Call) -> Answer:
        ref = call.text("ref", call.project.repository.default_branch)
        head = call.project.repository.resolve(ref)
        found = [line for line in call.project.pipelines.values() if head and (line.ref, line.sha) == (ref, head.sha)]
        if not found:
            raise forbidden()
        return Answer(entities.whole_pipeline(max(found, key=lambda line: line.id), call.base))

    def pipeline(self, call: Call) -> Answer:
        return Answer(entities.whole_pipeline(self._pipeline(call), call.base))

    def create(self, call: Call) -> Answer:
        call.changes()
        (ref,) = call.required("ref")
        head = call.project.repository.branches.get(ref)
        if head is None:
            raise invalid_parameters("Reference not found")
        line = self._engine.start(call.project, ref, head.head, call.token.user, "api")
        return Answer(entities.whole_pipeline(line, call.base), 201)

    def pipeline_jobs(self, call: Call) -> Answer:
        line = self._pipeline(call)
        jobs = line.jobs if call.truth("include_retried") else line.latest
        return paged(
            call, [entities.job(job, call.base) for job in self._scoped(call, sorted(jobs, key=lambda j: -j.id))]
        )

    def bridges(self, call: Call) -> Answer:
        """The jobs that start other pipelines."""
        line = self._pipeline(call)
        return paged(call, [entities.bridge(line, each, call.base) for each in line.bridges])

    def retry(self, call: Call) -> Answer:
        call.changes()
        line = self._pipeline(call)
        self._engine.retry(line, call.token.user, call.role)
        return Answer(entities.whole_pipeline(line, call.base), 201)

    def cancel(self, call: Call) -> Answer:
        call.changes()
        line = self._pipeline(call)
        self._engine.cancel(line, call.role)
        return Answer(entities.whole_pipeline(line, call.base))

    def test_report(self, call: Call) -> Answer:
        return Answer(entities.test_report(self._pipeline(call)))

    def test_report_summary(self, call: Call) -> Answer:
        return Answer(entities.test_report_summary(self._pipeline(call)))

    def jobs(self, call: Call) -> Answer:
        found = self._scoped(call, call.project.jobs())
        shown = [entities.job(job, call.base) for job in found]
        if call.text("pagination") == "keyset":
            return keyset(call, shown, [job.id for job in found])
        return paged(call, shown, counted=False)

    def job(self, call: Call) -> Answer:
        return Answer(entities.job(self._job(call), call.base))

    def trace(self, call: Call) -> Answer:
        return Answer(self._job(call).trace, headers={"Content-Type": "text/plain"})

    def play(self, call: Call) -> Answer:
        call.changes()
        given = call.body.get("job_variables_attributes") or []
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise invalid_parameters("job_variables_attributes is invalid")
        problems = [f"job_variables_attributes[{n}][{key}] is missing" for n, each in enumerate(given)
                    for key in ("key", "value") if key not in each]  # fmt: skip
        if problems:
            raise invalid_parameters(*problems)
        variables = {each["key"]: each["value"] for each in given}
        return Answer(
            entities.job(self._engine.play(self._job(call), call.token.user, variables, call.role), call.base)
        )

    def retry_job(self, call: Call) -> Answer:
        call.changes()
        fresh = self._engine.retry_job(self._job(call), call.token.user, call.role)
        return Answer(entities.job(fresh, call.base), 201)

    def cancel_job(self, call: Call) -> Answer:
        call.changes()
        job = self._job(call)
        self._engine.cancel_job(job, call.role)
        return Answer(entities.job(job, call.base), 201)

    def deployments(self, call: Call) -> Answer:
        found = list(call.project.deployments)
        if environment := call.text("environment"):
            found = [each for each in found if each.environment == environment]
        if status := call.choice("status", _DEPLOYED):
            found = [each for each in found if each.status == status]
        order = call.choice("order_by", ("id", "iid", "created_at", "updated_at", "finished_at", "ref"), "id")
        if since := call.text("updated_after"):
            if order != "updated_at":
                raise refused("Both `updated_at` filter and `updated_at` sorting must be specified")
            found = [each for each in found if each.updated_at >= _moment(since)]
        ended = call.text("finished_after")
        if bool(ended) != (order == "finished_at"):
            raise bad_request("`finished_at` filter and `finished_at` sorting must be paired")
        if ended and call.text("status") != "success":
            raise bad_request("`finished_at` filter must be combined with `success` status filter.")
        found = [each for each in found if not ended or (each.finished_at and each.finished_at >= _moment(ended))]
        found.sort(key=lambda each: getattr(each, order), reverse=call.choice("sort", ("asc", "desc"), "asc") == "desc")
        return paged(call, [entities.deployment(each, call.base) for each in found])

    def _pipeline(self, call: Call) -> Pipeline:
        found = call.project.pipelines.get(_identity(call, "pipeline_id"))
        if found is None:
            raise not_found()
        return found

    def _job(self, call: Call) -> Job:
        wanted = _identity(call, "job_id")
        found = next((job for job in call.project.jobs() if job.id == wanted), None)
        if found is None:
            raise not_found()
        return found

    def _scoped(self, call: Call, jobs: list[Job]) -> list[Job]:
        scopes = call.several("scope")
        if set(scopes) - STATUSES:
            raise invalid_parameters("scope does not have a valid value")
        return [job for job in jobs if not scopes or job.status in scopes]


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_parameters("the date is invalid") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _identity(call: Call, name: str) -> int:
    if not call.args[name].isdecimal():
        raise invalid_parameters(f"{name} is invalid")
    return int(call.args[name])
