"""What a person's sentence is about: `why is checkout in shop crashing` names Deployment checkout in namespace shop."""

from __future__ import annotations

import re
from collections.abc import Iterable

from domain.actions import Target

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_KINDS = {
    "deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment", "statefulset": "StatefulSet",
    "sts": "StatefulSet", "daemonset": "DaemonSet", "ds": "DaemonSet", "pod": "Pod", "pods": "Pod", "po": "Pod",
    "service": "Service", "svc": "Service", "node": "Node", "no": "Node", "job": "Job", "cronjob": "CronJob",
}  # fmt: skip
_SLASHED_KIND = re.compile(rf"(?<![\w/.-])({'|'.join(_KINDS)})/({_NAME})(?![\w/.-]*\w)")
_SPACED_KIND = re.compile(rf"(?<![\w/.-])({'|'.join(kind for kind in _KINDS if len(kind) > 2)}) `?({_NAME})`?(?![\w/])")
_SLASHED = re.compile(rf"(?<![\w/.:-])`?({_NAME})/({_NAME})`?(?![\w/-]|\.\w)")
_NAMESPACE = re.compile(rf"(?<![\w-])(?:namespace|ns|-n)[ =:]+`?({_NAME})`?")
_BEFORE_NAMESPACE = re.compile(rf"`?({_NAME})`? namespace\b")
_IN = re.compile(rf"`?({_NAME})`? (?:in|from|of) (?:the )?(?:namespace )?`?({_NAME})`?(?!\w)")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
_ORDINARY_WORDS = """
a all an and anything are at be broken by crash crashes crashing do does down error errors everything fail failing
fails for from going happening has have how i in is it its last look my not now of on oom or our out please pods ready restart restarting restarts running service
slow so status that the there this to unhealthy up was we what whats when where which why with wrong you
"""
_ORDINARY = frozenset(_ORDINARY_WORDS.split())


def target_from_text(text: str, known: Iterable[Target] = ()) -> Target:
    """The thing that a sentence names: one of the `known` targets, else what its words spell out, else an empty Target.

    A name that is known in several namespaces counts only where the sentence says which.
    """
    said = text.lower()
    return _known(said, list(known)) or _spelled(said)


def _known(said: str, known: list[Target]) -> Target | None:
    words = set(_WORD.findall(said))
    named = [target for target in known if target.name and target.name.lower() in words]
    placed = [target for target in named if target.namespace.lower() in words] or named
    longest = max((len(target.name) for target in placed), default=0)
    # of names that contain one another (cart, cart-redis) the whole word that is longest is the one meant
    best = {target.key: target for target in placed if len(target.name) == longest}
    return next(iter(best.values())) if len(best) == 1 else None


def _spelled(said: str) -> Target:
    kind, name, namespace = "", "", ""
    if match := _SLASHED_KIND.search(said) or _spaced(said):
        kind, name = _KINDS[match[1]], match[2]
    elif match := _SLASHED.search(said):
        namespace, kind, name = match[1], "Deployment", match[2]
    places = [match[1] for pattern in (_NAMESPACE, _BEFORE_NAMESPACE) for match in pattern.finditer(said)]
    namespace = next((place for place in places if place not in _ORDINARY), namespace)
    for match in _IN.finditer(said):
        subject, place = match[1], match[2]
        if place in _ORDINARY or (subject in _ORDINARY and not name):
            continue
        namespace = namespace or place
        if not name:
            kind, name = "Deployment", subject
    if kind == "Node":
        return Target("kubernetes", name=name, kind="Node")
    # a workload needs a namespace; a namespace alone can be looked through
    return Target("kubernetes", namespace=namespace, kind=kind, name=name) if namespace else Target()


def _spaced(said: str) -> re.Match[str] | None:
    return next((match for match in _SPACED_KIND.finditer(said) if match[2] not in _ORDINARY), None)
