"""What a container needs from config maps and secrets before it can start."""

from __future__ import annotations

from bot.local.cluster.resources import CONFIGMAPS, SECRETS, Obj
from bot.local.cluster.store import Store, at


def missing_volume(store: Store, pod: Obj) -> tuple[str, str] | None:
    namespace = pod["metadata"]["namespace"]
    for volume in at(pod, "spec.volumes") or ():
        for source, resource, name_field in (("configMap", CONFIGMAPS, "name"), ("secret", SECRETS, "secretName")):
            name = at(volume, f"{source}.{name_field}")
            absent = name and store.get(resource, namespace, name) is None
            if absent and not volume[source].get("optional"):
                return volume["name"], f'{source.lower()} "{name}"'
    return None


def missing_reference(store: Store, pod: Obj, spec: Obj) -> str | None:
    """The config map, secret or key that a container's environment needs and does not find."""
    namespace = pod["metadata"]["namespace"]
    sources = [*(spec.get("envFrom") or ()), *(e.get("valueFrom") or {} for e in spec.get("env") or ())]
    for source in sources:
        for kind, resource in (("configMap", CONFIGMAPS), ("secret", SECRETS)):
            wanted = source.get(f"{kind}Ref") or source.get(f"{kind}KeyRef")
            if not wanted or wanted.get("optional"):
                continue
            found = store.get(resource, namespace, wanted["name"])
            if found is None:
                return f'{kind.lower()} "{wanted["name"]}" not found'
            held = {**(found.get("data") or {}), **(found.get("stringData") or {})}
            if "key" in wanted and wanted["key"] not in held:
                return f"couldn't find key {wanted['key']} in {resource.kind} {namespace}/{wanted['name']}"
    return None
