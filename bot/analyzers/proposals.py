"""The changes that findings may propose: tool calls in the shape that the tools take."""

from __future__ import annotations

from bot.analyzers.fields import short
from domain.actions import Target
from domain.diagnosis import Proposal


def rollback(target: Target, revision: int, why: str) -> Proposal:
    """Back to a revision of a Deployment."""
    arguments = {"namespace": target.namespace, "name": target.name, "to_revision": revision}
    return Proposal("kubernetes_rollback", arguments, why)


def rebuild(job: str, number: int, why: str) -> Proposal:
    """A Jenkins build once more, with its parameters."""
    return Proposal("jenkins_trigger", {"job": job, "parameters": {}, "rebuild": number}, why)


def retry_pipeline(project: str, number: int, why: str) -> Proposal:
    """The jobs of a GitLab pipeline that failed or were cancelled once more, at the same commit."""
    return Proposal("gitlab_retry_pipeline", {"project": project, "pipeline": number}, why)


def revert(project: str, branch: str, commit: str, message: str, why: str) -> Proposal:
    """A merge request that takes a commit of a branch back."""
    said = "".join(char if char.isprintable() else " " for char in message)
    arguments = {
        "project": project,
        "target_branch": branch,
        "title": " ".join(f'Revert "{short(said, 150)}"'.split()),
        "description": why,
        "revert": commit,
    }
    return Proposal("gitlab_open_merge_request", arguments, why)


def memory_limit(target: Target, container: str, limit: str, request: str, why: str) -> Proposal:
    """Another memory limit for one container of a workload; an empty `request` leaves that as it is."""
    arguments = {
        "namespace": target.namespace,
        "kind": target.kind,
        "name": target.name,
        "container": container,
        "limits": {"memory": limit},
    }
    requests = {"requests": {"memory": request}} if request else {}
    return Proposal("kubernetes_set_resources", {**arguments, **requests}, why)
