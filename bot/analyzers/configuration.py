"""Secrets, ConfigMaps and keys that pods name and that are not there: which, and where the pod template names them."""

from __future__ import annotations

from difflib import get_close_matches

from bot.analyzers.fields import mapping, name_of, sentence, short
from bot.analyzers.findings import finding
from bot.analyzers.groups import share
from bot.analyzers.needs import Missing, missing_in, reference
from bot.analyzers.problems import Trouble
from bot.analyzers.reading import cite, objects
from bot.analyzers.scene import Scene
from bot.analyzers.scheduling import pod_spec
from domain.diagnosis import Confidence, Finding


def analyze_configuration(scene: Scene) -> tuple[Finding, ...]:
    """What is missing for the pods to start, as the kubelet names it."""
    return tuple(_missing(scene, need) for need in missing_in(scene))


def _missing(scene: Scene, need: Missing) -> Finding:
    pulls = need.group.trouble is Trouble.IMAGE
    place, what = scene.target.namespace, f"{need.kind} {need.name}"
    told = f"{what} has no key {need.key}" if need.key else f"{what} does not exist in {place}"
    if pulls:
        told = f"{what}, which the image pull uses, could not be read"
    where = "imagePullSecrets" if pulls else reference(pod_spec(scene), need.kind, need.name, need.key)
    near = _near(scene, need)
    detail = f"{sentence(share(scene, need.group))} cannot start. {told}; it is named in {where or 'the pod template'}."
    listed, key = scene.near("ConfigMap"), f" with key {need.key}" if need.key else ""
    return finding(
        "config.missing",
        scene.target,
        told + (f" ({where})" if where else ""),
        f"{detail}{near} The kubelet says: {short(need.message, 300)}",
        [
            cite(need.reading, f"what the kubelet says of {need.group.worst.pod}", need.message),
            cite(listed, "the ConfigMaps of the namespace", near.strip()) if near else (),
        ],
        confidence=Confidence.LIKELY if pulls else Confidence.PROVEN,
        next_steps=[
            f"Create {what}{key}, or correct the name in {where or 'the pod template'}; the kubelet retries by itself.",
            "Nothing is proposed: what belongs in it is not for the agent to invent.",
        ],
        object=what,
        key=need.key,
    )


def _near(scene: Scene, need: Missing) -> str:
    """What there is instead. Secrets are never read, so of them nothing is said."""
    if need.kind != "ConfigMap":
        return ""
    there = {name_of(item): item for item in objects(scene.near("ConfigMap"))}
    if need.key and need.name in there:
        return f" Its keys: {', '.join(sorted(map(str, mapping(there[need.name], 'data')))[:12]) or 'none'}."
    close = get_close_matches(need.name, list(there), 3, 0.6)
    return f" There is {', '.join(close)}." if close else ""
