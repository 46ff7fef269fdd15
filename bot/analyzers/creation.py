"""Pods that are refused at their creation: the quota, range, webhook, policy or account with its field and value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.analyzers.fields import items, labels, name_of, short, text
from bot.analyzers.findings import finding
from bot.analyzers.reading import Reading, cite, objects
from bot.analyzers.refused import Cause, Refusal, amounts, refusals_of
from bot.analyzers.scene import Scene
from bot.analyzers.webhooks import receiver_of, receiver_words
from domain.diagnosis import Evidence, Finding

_HOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def analyze_creation(scene: Scene) -> tuple[Finding, ...]:
    """What stands in the way of the target's new pods."""
    return tuple(_ABOUT[refusal.cause](scene, refusal) for refusal in refusals_of(scene))


def _said(scene: Scene, refusal: Refusal) -> tuple[Evidence, ...]:
    where = "condition ReplicaFailure" if refusal.reading is scene.workload else f"events of {scene.target.name}"
    return cite(refusal.reading, where, refusal.message)


def _one(reading: Reading, name: str) -> Mapping[str, object]:
    return next((item for item in objects(reading) if name_of(item) == name), {})


def _quota(scene: Scene, refusal: Refusal) -> Finding:
    asked, used, hard = (amounts(part) for part in (*refusal.rest, "", "", "")[:3])
    place, reading = scene.target.namespace, scene.near("ResourceQuota")
    now = _one(reading, refusal.named)
    first = next(iter(asked), next(iter(hard), "its limit"))
    figures = [
        f"{name}: hard {labels(now, 'status', 'hard').get(name) or hard.get(name, '?')}, "
        f"used {labels(now, 'status', 'used').get(name) or used.get(name, '?')}, a pod asks for {asked.get(name, '?')}"
        for name in (asked or hard)
    ]
    return finding(
        Cause.QUOTA.value,
        scene.target,
        f"ResourceQuota {refusal.named} is used up: {first} {used.get(first, '?')} of {hard.get(first, '?')}",
        f"{scene.target.name} cannot create pods in {place}: ResourceQuota {refusal.named}, {'; '.join(figures)}.",
        [_said(scene, refusal), cite(reading, f"ResourceQuota {refusal.named}", "; ".join(figures)) if now else ()],
        next_steps=[
            f"Raise {first} in ResourceQuota {refusal.named}, or free some of it.",
            f"By hand: kubectl -n {place} describe quota {refusal.named}",
            "Nothing is proposed: what a namespace may use is not for the agent to decide.",
        ],
        quota=refusal.named,
        resources=sorted(asked or hard),
    )


def _demands(scene: Scene, refusal: Refusal) -> Finding:
    what = short(refusal.rest[0], 200) if refusal.rest else "requests or limits"
    return finding(
        Cause.QUOTA_DEMANDS.value,
        scene.target,
        f"ResourceQuota {refusal.named} demands {what}, which the pods do not set",
        f"{scene.target.name} cannot create pods: {short(refusal.message, 500)}",
        [_said(scene, refusal)],
        next_steps=["Set it in the pod template, or give the namespace defaults with a LimitRange."],
        quota=refusal.named,
    )


def _limit_range(scene: Scene, refusal: Refusal) -> Finding:
    what = short(refusal.rest[0], 200)
    ranges = [name_of(item) for item in objects(scene.near("LimitRange")) if _sets(item, refusal)]
    named = f"LimitRange {', '.join(ranges)}" if ranges else "A LimitRange of the namespace"
    return finding(
        Cause.LIMIT_RANGE.value,
        scene.target,
        f"{named} refuses the pods: {what}",
        f"{scene.target.name} cannot create pods in {scene.target.namespace}. {named}: {what}.",
        [_said(scene, refusal), cite(scene.near("LimitRange"), named, what) if ranges else ()],
        next_steps=["Set requests and limits within the range, or change the range."],
        ranges=ranges,
    )


def _sets(item: Mapping[str, object], refusal: Refusal) -> bool:
    return any(text(limit, "type") == refusal.named for limit in items(item, "spec", "limits"))


def _webhook_down(scene: Scene, refusal: Refusal) -> Finding:
    kind, config, hook = next(
        (
            (kind, name_of(config), hook)
            for kind in _HOOKS
            for config in objects(scene.near(kind))
            for hook in items(config, "webhooks")
            if text(hook, "name") == refusal.named
        ),
        ("", "", {}),
    )
    namespace, service = receiver_of(hook)
    state = receiver_words(scene, namespace, service) if service else ""
    owner = f"{kind} {config}, failurePolicy {text(hook, 'failurePolicy') or 'Fail'}" if config else "its configuration"
    why = short(refusal.rest[0], 300) if refusal.rest else "it did not answer"
    return finding(
        Cause.WEBHOOK_DOWN.value,
        scene.target,
        f"Webhook {refusal.named} does not answer, so no pods can be created" + (f": {state}" if state else ""),
        f"{owner}, calls Service {namespace}/{service}: {state or why}. The API server says: {why}"
        if service
        else f"{owner}: {why}",
        [
            _said(scene, refusal),
            cite(scene.near(kind), f"{kind} {config}", f"Service {namespace}/{service}") if config else (),
            cite(scene.near(f"pods behind Service/{namespace}/{service}"), f"pods behind Service {service}", state),
        ],
        next_steps=[
            f"Bring back what answers for Service {namespace}/{service}."
            if service
            else f"Find what answers for webhook {refusal.named}.",
            "Every creation that the webhook is asked about fails until then, in other namespaces too.",
        ],
        webhook=refusal.named,
        configuration=config,
    )


def _denied(scene: Scene, refusal: Refusal) -> Finding:
    why = short(refusal.rest[0], 400) if refusal.rest else short(refusal.message, 400)
    what = f"PodSecurity {refusal.named}" if "PodSecurity" in refusal.message else f"Admission rule {refusal.named}"
    return finding(
        Cause.DENIED.value,
        scene.target,
        f"{what} refuses the pods: {why}",
        f"{scene.target.name} cannot create pods. {what}: {why}",
        [_said(scene, refusal)],
        next_steps=["Correct in the pod template what the rule names, or ask whoever owns the rule."],
        rule=refusal.named,
    )


def _account(scene: Scene, refusal: Refusal) -> Finding:
    place = scene.target.namespace
    return finding(
        Cause.ACCOUNT.value,
        scene.target,
        f"ServiceAccount {refusal.named} does not exist in {place}",
        f"{scene.target.name} cannot create pods: spec.serviceAccountName is {refusal.named}, and namespace {place} has none "
        f"of that name. {short(refusal.message, 300)}",
        [_said(scene, refusal)],
        next_steps=["Create the account, or correct serviceAccountName in the pod template."],
        account=refusal.named,
    )


_ABOUT: Mapping[Cause, Callable[[Scene, Refusal], Finding]] = {
    Cause.QUOTA: _quota,
    Cause.QUOTA_DEMANDS: _demands,
    Cause.LIMIT_RANGE: _limit_range,
    Cause.WEBHOOK_DOWN: _webhook_down,
    Cause.DENIED: _denied,
    Cause.ACCOUNT: _account,
}
