"""The changes that findings may propose: tool calls in the shape that the tools take."""

from __future__ import annotations

from domain.actions import Target
from domain.diagnosis import Proposal


def rollback(target: Target, revision: int, why: str) -> Proposal:
    """Back to a revision of a Deployment."""
    arguments = {"namespace": target.namespace, "name": target.name, "to_revision": revision}
    return Proposal("kubernetes_rollback", arguments, why)


def rebuild(job: str, number: int, why: str) -> Proposal:
    """A Jenkins build once more, with its parameters."""
    return Proposal("jenkins_trigger", {"job": job, "parameters": {}, "rebuild": number}, why)


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
