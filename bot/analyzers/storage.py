"""Claims and volumes: what a claim that is not bound waits for, with its class, its volume and the provisioner's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, items, labels, mapping, name_of, short, text
from bot.analyzers.findings import finding
from bot.analyzers.needs import claims_of
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Evidence, Finding

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_FILLING = ("fill", "inode", "full", "usage", "space")
Obj = Mapping[str, Any]


def analyze_storage(scene: Scene) -> tuple[Finding, ...]:
    """The claims that the target's waiting pods mount, or the claim or volume that is asked about."""
    if scene.target.kind == "PersistentVolumeClaim" and scene.workload.ok:
        return _claim(scene, scene.workload.data) or (_bound(scene),)
    if scene.target.kind == "PersistentVolume" and scene.workload.ok:
        return (_volume(scene),)
    listed, wanted = scene.near("PersistentVolumeClaim"), claims_of(scene)
    if not listed.ok or not wanted:
        return ()
    there = {name_of(claim): claim for claim in objects(listed)}
    found = [said for name in wanted if name in there for said in _claim(scene, there[name])]
    gone = [name for name in wanted if name not in there] if whole(listed) else []
    return (*(_missing(scene, name, wanted[name]) for name in gone[:3]), *found[:3])


def _missing(scene: Scene, name: str, pod: str) -> Finding:
    have = ", ".join(sorted(name_of(item) for item in objects(scene.near("PersistentVolumeClaim")))[:10]) or "none"
    return finding(
        "storage.claim_missing",
        scene.target,
        f"PersistentVolumeClaim {name} does not exist",
        f"Pod {pod} mounts PersistentVolumeClaim {name}, and namespace {scene.target.namespace} has: {have}.",
        [
            cite(scene.near("PersistentVolumeClaim"), "the claims of the namespace", have),
            cite(scene.pods, f"pod {pod}", name),
        ],
        next_steps=["Create the claim, or correct its name in the pod template."],
        claim=name,
    )


def _cite_claim(scene: Scene, claim: Obj, excerpt: str) -> tuple[Evidence, ...]:
    own = scene.target.kind == "PersistentVolumeClaim"
    return cite(
        scene.workload if own else scene.near("PersistentVolumeClaim"),
        f"PersistentVolumeClaim {name_of(claim)}",
        excerpt,
    )


def _claim(scene: Scene, claim: Obj) -> tuple[Finding, ...]:
    """What is wrong with one claim; nothing where it is bound, or waits for a pod as its class says."""
    phase = text(claim, "status", "phase")
    if text(claim, "metadata", "deletionTimestamp"):
        return (_deleting(scene, claim),)
    if phase == "Lost":
        return (_lost(scene, claim),)
    if phase != "Pending":
        return ()
    said = _no_class(scene, claim) or _provisioning(scene, claim) or _static(scene, claim)
    return (said,) if said else ()


def _deleting(scene: Scene, claim: Obj) -> Finding:
    held = at(claim, "metadata", "finalizers")
    finalizers = ", ".join(map(str, held)) if isinstance(held, list) else "none"
    users = users_of(scene, name_of(claim))
    by = f"; pods that still mount it: {', '.join(users[:5])}" if users else ""
    return finding(
        "storage.claim_terminating",
        scene.target,
        f"PersistentVolumeClaim {name_of(claim)} is being deleted and held by {finalizers}",
        f"Deleted {text(claim, 'metadata', 'deletionTimestamp')}, finalizers: {finalizers}{by}.",
        [_cite_claim(scene, claim, finalizers), cite(scene.near("Pod"), "pods that mount it", ", ".join(users[:5]))],
        next_steps=["It goes when no pod mounts it any more; removing a finalizer by hand can lose the data."],
        claim=name_of(claim),
    )


def _lost(scene: Scene, claim: Obj) -> Finding:
    name = text(claim, "spec", "volumeName")
    volume = scene.near(f"PersistentVolume/{name}")
    state = (
        "does not exist any more" if volume.absent else f"is {text(volume.data, 'status', 'phase') or 'not readable'}"
    )
    return finding(
        "storage.claim_lost",
        scene.target,
        f"PersistentVolumeClaim {name_of(claim)} is Lost: its PersistentVolume {name} {state}",
        f"The claim was bound to {name}, which {state}. Its data is wherever that volume's is.",
        [_cite_claim(scene, claim, "phase Lost"), cite(volume, f"PersistentVolume {name}", state)],
        next_steps=["Find out who deleted the volume; a claim that is Lost does not bind again by itself."],
        claim=name_of(claim),
        volume=name,
    )


def _no_class(scene: Scene, claim: Obj) -> Finding | None:
    classes, wanted = scene.near("StorageClass"), at(claim, "spec", "storageClassName")
    if not whole(classes):
        return None
    have = {name_of(item): item for item in objects(classes)}
    named = ", ".join(sorted(have)) or "none"
    if isinstance(wanted, str) and wanted and wanted not in have:
        return finding(
            "storage.class_missing",
            scene.target,
            f"StorageClass {wanted} of claim {name_of(claim)} does not exist",
            f"PersistentVolumeClaim {name_of(claim)} asks for storageClassName {wanted}; the cluster has: {named}.",
            [_cite_claim(scene, claim, f"storageClassName {wanted}, Pending"), cite(classes, "StorageClasses", named)],
            next_steps=["A claim's class cannot be changed: create the class, or delete the claim and make it anew."],
            claim=name_of(claim),
            storage_class=wanted,
        )
    default = [item for item in have.values() if labels(item, "metadata", "annotations").get(_DEFAULT) == "true"]
    if wanted is None and not default:
        return finding(
            "storage.no_class",
            scene.target,
            f"PersistentVolumeClaim {name_of(claim)} names no StorageClass, and none is the default",
            f"storageClassName is not set; the cluster has {named}, none of them marked as default.",
            [_cite_claim(scene, claim, "no storageClassName, Pending"), cite(classes, "StorageClasses", named)],
            next_steps=["Name a class in the claim, or mark one as default."],
            claim=name_of(claim),
        )
    return None


def _provisioning(scene: Scene, claim: Obj) -> Finding | None:
    reading = scene.near(f"events of PersistentVolumeClaim/{name_of(claim)}")
    failed = [item for item in items(reading.data, "items") if text(item, "reason") == "ProvisioningFailed"]
    if not reading.ok or not failed:
        return None
    message = text(max(failed, key=lambda item: text(item, "last")), "message")
    wanted = text(claim, "spec", "storageClassName") or "the default class"
    return finding(
        "storage.provisioning_failed",
        scene.target,
        f"No volume can be made for claim {name_of(claim)}: {short(message)}",
        f"PersistentVolumeClaim {name_of(claim)}, class {wanted}: {short(message, 500)}",
        [
            _cite_claim(scene, claim, "Pending"),
            cite(reading, f"events of PersistentVolumeClaim {name_of(claim)}", f"ProvisioningFailed: {message}"),
        ],
        next_steps=["Correct what the provisioner names; it tries again by itself."],
        claim=name_of(claim),
    )


def _static(scene: Scene, claim: Obj) -> Finding | None:
    """A claim of a class that makes no volumes, or of one certain volume that cannot be had."""
    wanted, volume = text(claim, "spec", "storageClassName"), text(claim, "spec", "volumeName")
    reading = scene.near(f"PersistentVolume/{volume}")
    phase, owner = text(reading.data, "status", "phase"), text(reading.data, "spec", "claimRef", "name")
    bound_to = (text(reading.data, "spec", "claimRef", "namespace"), owner)
    taken = phase in ("Released", "Failed") or (
        phase == "Bound" and bound_to != (scene.target.namespace, name_of(claim))
    )
    if volume and (reading.absent or taken):
        state = "does not exist" if reading.absent else f"is {phase}" + (f" for claim {owner}" if owner else "")
        return finding(
            "storage.volume_unusable",
            scene.target,
            f"PersistentVolume {volume} that claim {name_of(claim)} asks for {state}",
            f"spec.volumeName is {volume}, which {state}: no other volume will do for the claim.",
            [_cite_claim(scene, claim, f"volumeName {volume}"), cite(reading, f"PersistentVolume {volume}", state)],
            next_steps=["A Released volume keeps its old claimRef: clear it only where its data may be used again."],
            claim=name_of(claim),
            volume=volume,
        )
    own = next((item for item in objects(scene.near("StorageClass")) if name_of(item) == wanted), {})
    waits = text(own, "volumeBindingMode") == "WaitForFirstConsumer" and scene.target.kind == "PersistentVolumeClaim"
    if text(own, "provisioner") != _NO_PROVISIONER or waits:
        return None
    return finding(
        "storage.no_volume",
        scene.target,
        f"StorageClass {wanted} makes no volumes, and none is free for claim {name_of(claim)}",
        f"The class's provisioner is {_NO_PROVISIONER}: somebody has to create a PersistentVolume that fits.",
        [
            _cite_claim(scene, claim, f"class {wanted}, Pending"),
            cite(scene.near("StorageClass"), f"StorageClass {wanted}"),
        ],
        confidence=Confidence.LIKELY,
        next_steps=["Create a PersistentVolume of that class and size, on a node that the pod may use."],
        claim=name_of(claim),
    )


def users_of(scene: Scene, claim: str) -> list[str]:
    """The pods that mount a claim."""
    return [
        name_of(pod)
        for pod in objects(scene.near("Pod"))
        if any(text(volume, "persistentVolumeClaim", "claimName") == claim for volume in items(pod, "spec", "volumes"))
    ]


def _bound(scene: Scene) -> Finding:
    claim, name = scene.workload.data, scene.target.name
    size = str(mapping(claim, "status", "capacity").get("storage") or "an unknown size")
    phase, wanted = text(claim, "status", "phase") or "Unknown", text(claim, "spec", "storageClassName")
    users = users_of(scene, name)
    by = f"mounted by {', '.join(users[:5])}" if users else "mounted by no pod that was listed"
    own = next((item for item in objects(scene.near("StorageClass")) if name_of(item) == wanted), {})
    grows = at(own, "allowVolumeExpansion") is True
    facts = f"{phase}, {size}, class {wanted or 'none'}, {by}"
    if scene.alert is not None and any(word in scene.alert.name.lower() for word in _FILLING):
        way = (
            "can be grown: its class allows expansion"
            if grows
            else "cannot be grown: its class does not allow expansion"
        )
        return finding(
            "storage.filling",
            scene.target,
            f"PersistentVolumeClaim {name} of {size} is filling up, {by}",
            f"{facts}. It {way}. How full it is stands in the alert, not in the cluster's status.",
            [_cite_claim(scene, claim, facts), cite(scene.near("StorageClass"), f"StorageClass {wanted}", way)],
            confidence=Confidence.LIKELY,
            next_steps=["Find what writes to it; free space, or " + ("raise its request." if grows else "move it.")],
            capacity=size,
        )
    if phase == "Pending" and text(own, "volumeBindingMode") != "WaitForFirstConsumer":
        return _waits(scene, claim, wanted)
    waits = "It waits for a pod that uses it, as its class says." if phase == "Pending" else ""
    return finding(
        "storage.healthy",
        scene.target,
        f"PersistentVolumeClaim {name} is {'bound' if phase == 'Bound' else phase}: {size}, {by}",
        f"{facts}. {waits} Nothing is proposed: nothing is broken now.",
        [_cite_claim(scene, claim, facts)],
        healthy=True,
    )


def _waits(scene: Scene, claim: Obj, wanted: str) -> Finding:
    reading = scene.near(f"events of PersistentVolumeClaim/{name_of(claim)}")
    told = max(objects(reading), key=lambda item: text(item, "last"), default=None)
    said = short(text(told, "message"), 300) or "nothing says what it waits for"
    return finding(
        "storage.waits",
        scene.target,
        f"PersistentVolumeClaim {name_of(claim)} is Pending: {said}",
        f"Class {wanted or 'none named'} makes volumes at once, and there is none yet. {said}",
        [
            _cite_claim(scene, claim, f"Pending, class {wanted}"),
            cite(reading, f"events of PersistentVolumeClaim {name_of(claim)}", said) if told else (),
        ],
        confidence=Confidence.NOT_PROVEN,
        hypotheses=[("The class's provisioner does not run", "Look at its pods and their log")],
        next_steps=["Look again in a minute, then at the provisioner of the class."],
        claim=name_of(claim),
    )


def _volume(scene: Scene) -> Finding:
    volume, name = scene.workload.data, scene.target.name
    phase, owner = text(volume, "status", "phase") or "Unknown", text(volume, "spec", "claimRef", "name")
    why = short(text(volume, "status", "message") or text(volume, "status", "reason"), 300)
    bad = phase in ("Failed", "Released")
    policy = text(volume, "spec", "persistentVolumeReclaimPolicy") or "Retain"
    return finding(
        "storage.volume_unusable" if bad else "storage.healthy",
        scene.target,
        f"PersistentVolume {name} is {phase}" + (f", claim {owner}" if owner else "") + (f": {why}" if why else ""),
        f"Phase {phase}, reclaim policy {policy}, claim {owner or 'none'}. {why}".rstrip(),
        [cite(scene.workload, f"PersistentVolume {name}", f"phase {phase}")],
        healthy=not bad,
        next_steps=["Whether its data is still wanted is for its owner to say."] if bad else (),
    )
