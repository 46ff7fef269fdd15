"""What a person's sentence is about: `why is checkout in shop crashing` names Deployment checkout in namespace shop."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote

from domain.actions import Target

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_KINDS = {
    "deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment", "statefulset": "StatefulSet",
    "sts": "StatefulSet", "daemonset": "DaemonSet", "ds": "DaemonSet", "pod": "Pod", "pods": "Pod", "po": "Pod",
    "service": "Service", "svc": "Service", "node": "Node", "no": "Node", "job": "Job", "cronjob": "CronJob",
    "replicaset": "ReplicaSet", "ingress": "Ingress", "ing": "Ingress", "pvc": "PersistentVolumeClaim",
    "persistentvolumeclaim": "PersistentVolumeClaim", "claim": "PersistentVolumeClaim", "pv": "PersistentVolume",
    "persistentvolume": "PersistentVolume", "hpa": "HorizontalPodAutoscaler", "autoscaler": "HorizontalPodAutoscaler",
    "horizontalpodautoscaler": "HorizontalPodAutoscaler", "pdb": "PodDisruptionBudget",
    "poddisruptionbudget": "PodDisruptionBudget", "networkpolicy": "NetworkPolicy", "netpol": "NetworkPolicy",
    "configmap": "ConfigMap", "cm": "ConfigMap", "quota": "ResourceQuota", "resourcequota": "ResourceQuota",
    "gateway": "Gateway", "httproute": "HTTPRoute", "certificate": "Certificate", "cert": "Certificate",
    "validatingwebhookconfiguration": "ValidatingWebhookConfiguration",
    "mutatingwebhookconfiguration": "MutatingWebhookConfiguration",
}  # fmt: skip
_CLUSTER_WIDE = frozenset(
    {"Node", "PersistentVolume", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}
)
_SLASHED_KIND = re.compile(rf"(?<![\w/.-])({'|'.join(_KINDS)})/({_NAME})(?![\w/.-]*\w)")
_SPACED_KIND = re.compile(rf"(?<![\w/.-])({'|'.join(kind for kind in _KINDS if len(kind) > 2)}) `?({_NAME})`?(?![\w/])")
_SLASHED = re.compile(rf"(?<![\w/.:-])`?({_NAME})/({_NAME})`?(?![\w/-]|\.\w)")
_NAMESPACE = re.compile(rf"(?<![\w-])(?:namespace|ns|-n)[ =:]+`?({_NAME})`?")
_BEFORE_NAMESPACE = re.compile(rf"`?({_NAME})`? namespace\b")
_IN = re.compile(rf"`?({_NAME})`? (?:in|from|of) (?:the )?(?:namespace )?`?({_NAME})`?(?!\w)")
_JOB_LINKS = re.compile(r"https?://\S*?(?:/job/[^/\s<>|?#]{1,200}){1,20}")
_JOB_LINK = re.compile(r"/job/([^/\s<>|?#]{1,200})")
_JENKINS = re.compile(
    r"\bjenkins(?:[- ](?:job|build))?[ :]+`?((?:[^\s/`?#]{1,200}/){1,20}[^\s/`?#]{1,200})`?", re.IGNORECASE
)
_PROJECT_LINK = re.compile(
    r"https?://[^\s/<>|]+((?:/[^/\s<>|?#]{1,200}){2,20}?)/-/(?:pipelines|jobs|merge_requests|commits?|environments)\b"
)
_GITLAB = re.compile(
    r"\bgitlab(?:[- ](?:project|pipeline))?[ :]+`?((?:[\w.-]{1,200}/){1,20}[\w.-]{0,199}\w)`?(?![\w/])", re.IGNORECASE
)
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
_ORDINARY_WORDS = """
a all an and anything are at be broken by crash crashes crashing do does down error errors everything fail failing
fails for from going happening has have how i in is it its last look my not now of on oom or our out please pods ready
restart restarting restarts running service slow so status that the there this to unhealthy up was we what whats when
where which why with wrong you
"""
_ORDINARY = frozenset(_ORDINARY_WORDS.split())


def target_from_text(text: str, known: Iterable[Target] = ()) -> Target:
    """The thing that a sentence names: one of the `known` targets, else what its words spell out, else an empty Target.

    A name that is known in several namespaces counts only where the sentence says which; a kind or a namespace that the
    sentence spells out is never overruled by what is known.
    """
    if (build := _jenkins(text) or _gitlab(text)) is not None:
        return build
    said, targets = text.lower(), list(known)
    kind, name = _kind_and_name(said)
    place, certain = _place(said, bool(name))
    if not certain and targets and place not in {target.namespace for target in targets}:
        place = ""  # `in trouble` is no namespace
    found = _known(said, place, targets)
    if found is not None and (not kind or kind == found.kind):
        return found
    if found is not None and name == found.name:
        return replace(found, kind=kind)
    return _spelled(said, kind, name, place)


def _jenkins(text: str) -> Target | None:
    """A job of Jenkins: its link, or its full name behind the word. Names of jobs keep their case."""
    parts = [unquote(part) for part in _JOB_LINK.findall(match[0])] if (match := _JOB_LINKS.search(text)) else []
    if not parts and (match := _JENKINS.search(text)):
        parts = match[1].rstrip(".,:;").split("/")
    parts = [part for part in parts if part]
    return Target("jenkins", namespace="/".join(parts[:-1]), kind="JenkinsJob", name=parts[-1]) if parts else None


def _gitlab(text: str) -> Target | None:
    """A project of GitLab: a link to something of it, or its full path behind the word."""
    match = _PROJECT_LINK.search(text) or _GITLAB.search(text)
    if match is None:
        return None
    group, _, name = unquote(match[1]).strip("/").rpartition("/")
    return Target("gitlab", namespace=group, kind="GitLabProject", name=name)


def _known(said: str, place: str, known: list[Target]) -> Target | None:
    words = set(_WORD.findall(said))
    named = [target for target in known if target.name and target.name.lower() in words]
    placed = [target for target in named if target.namespace.lower() in ({place} if place else words)]
    named = placed if placed or place else named
    longest = max((len(target.name) for target in named), default=0)
    # of names that contain one another (cart, cart-redis) the whole word that is longest is the one meant
    best = {target.key: target for target in named if len(target.name) == longest}
    return next(iter(best.values())) if len(best) == 1 else None


def _spelled(said: str, kind: str, name: str, place: str) -> Target:
    if kind in _CLUSTER_WIDE:
        return Target("kubernetes", kind=kind, name=name)
    if not place:  # a workload needs a namespace; a namespace alone can be looked through
        return Target()
    if not name and (match := _SLASHED.search(said)):
        kind, name = "Deployment", match[2]
    subjects = [match[1] for match in _IN.finditer(said) if match[2] == place and match[1] not in _ORDINARY]
    if not name and subjects:
        kind, name = "Deployment", subjects[0]
    return Target("kubernetes", namespace=place, kind=kind, name=name)


def _kind_and_name(said: str) -> tuple[str, str]:
    """`svc/checkout` or `service checkout`, empty where neither is said."""
    for match in (*_SLASHED_KIND.finditer(said), *_SPACED_KIND.finditer(said)):
        if match[2] not in _ORDINARY:
            return _KINDS[match[1]], match[2]
    return "", ""


def _place(said: str, named: bool) -> tuple[str, bool]:
    """The namespace that is said, and whether it is certain that the word is one."""
    for pattern in (_NAMESPACE, _BEFORE_NAMESPACE):
        for match in pattern.finditer(said):
            if match[1] not in _ORDINARY:
                return match[1], True
    slashed = _SLASHED.search(said)
    if slashed and slashed[1] not in _KINDS:
        return slashed[1], True
    for match in _IN.finditer(said):
        if match[2] not in _ORDINARY and (named or match[1] not in _ORDINARY):
            return match[2], False
    return "", False
