"""What conditions may read: the facts of a situation, and each tool's arguments as protobuf types made from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

from domain.actions import Effect

Proto = descriptor_pb2.FieldDescriptorProto

FACTS: Mapping[str, Mapping[str, str]] = {
    "tool": {"name": "string", "effect": "string"},
    "target": {
        "system": "string",
        "environment": "string",
        "namespace": "string",
        "kind": "string",
        "name": "string",
        "replicas": "int",
        "ready": "int",
        "autoscaled": "bool",
        "age_s": "int",
        "owner": "string",
        "touches": "int",
    },
    "run": {"origin": "string", "mode": "string", "agent": "string", "tainted": "bool", "cost_micros": "int"},
    "release": {"risk": "int", "canary": "bool", "canary_passed": "bool", "deployed_before": "bool"},
    "requester": {"id": "string", "groups": "list"},
    "rate": {"target_1h": "int", "agent_1h": "int", "failed_1h": "int", "touches_1h": "int", "problem_1h": "int"},
    "calendar": {
        "date": "string",
        "weekday": "int",
        "hour": "int",
        "business": "bool",
        "open": "list",
        "frozen": "bool",
        "freezes": "list",
    },
    "trust": {
        "proposed": "int",
        "approved": "int",
        "edited": "int",
        "denied": "int",
        "executed": "int",
        "verified": "int",
        "failed": "int",
        "reverted": "int",
    },
}
"""Every fact but `args`, with its type. The server computes them; `docs/policy.md` says what each means."""

ROOTS = ("args", *FACTS)

_FACT_TYPES = {"string": Proto.TYPE_STRING, "int": Proto.TYPE_INT64, "bool": Proto.TYPE_BOOL}
_JSON_TYPES = {
    "string": Proto.TYPE_STRING,
    "integer": Proto.TYPE_INT64,
    "number": Proto.TYPE_DOUBLE,
    "boolean": Proto.TYPE_BOOL,
}
_PACKAGE = "facts"


@dataclass(frozen=True)
class ToolSchema:
    """A tool as policy sees it: its name, the effect that the server's table gives it, the JSON Schema of its arguments."""

    name: str
    effect: Effect
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def argument_names(self) -> tuple[str, ...]:
        """The names of its arguments."""
        return tuple(self.parameters.get("properties", {}))


def message_types(tool: ToolSchema) -> descriptor_pool.DescriptorPool:
    """A pool with one message type per root (`facts.args`, `facts.target` …) for a call of this tool."""
    file = descriptor_pb2.FileDescriptorProto(
        name="facts.proto", package=_PACKAGE, syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    for root, facts in FACTS.items():
        message = file.message_type.add(name=root)
        for number, (name, kind) in enumerate(facts.items(), 1):
            repeated = kind == "list"
            message.field.add(
                name=name,
                number=number,
                type=Proto.TYPE_STRING if repeated else _FACT_TYPES[kind],
                label=Proto.LABEL_REPEATED if repeated else Proto.LABEL_OPTIONAL,
            )
    _add_object(file.message_type.add(name="args"), tool.parameters, tool.parameters, f".{_PACKAGE}.args", 0)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_object(message: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str, depth: int) -> None:
    properties: Mapping[str, Any] = schema.get("properties", {})
    for number, (name, inner) in enumerate(properties.items(), 1):
        if not name.isidentifier() or not name.isascii():
            continue  # a condition could not name it either
        repeated, inner = _item(_resolve(inner, root), root)
        declared = message.field.add(name=name, number=number)
        declared.label = Proto.LABEL_REPEATED if repeated else Proto.LABEL_OPTIONAL
        if inner.get("type") in _JSON_TYPES:
            declared.type = _JSON_TYPES[inner["type"]]
        elif inner.get("type") == "object" and inner.get("properties") and depth < 4:
            declared.type, declared.type_name = Proto.TYPE_MESSAGE, f"{path}.{name}_type"
            _add_object(message.nested_type.add(name=f"{name}_type"), inner, root, declared.type_name, depth + 1)
        else:
            declared.type, declared.type_name = Proto.TYPE_MESSAGE, f".google.protobuf.{_dynamic(inner)}"


def _dynamic(schema: Mapping[str, Any]) -> str:
    """The well-known type of a value whose shape the schema leaves open."""
    return {"object": "Struct", "array": "ListValue"}.get(str(schema.get("type")), "Value")


def _item(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any]]:
    """A typed array's item, else the schema itself."""
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        item = _resolve(schema["items"], root)
        return (True, item) if item.get("type") != "array" else (False, schema)
    return False, schema


def _resolve(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
    """A schema with its `$ref` followed and its `or null` dropped: an absent argument is an absent key, never null."""
    if not isinstance(schema, Mapping) or depth > 8:
        return {}
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return _resolve(root.get("$defs", {}).get(name), root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        choices = [choice for choice in schema.get(word, ()) if choice != {"type": "null"}]
        if choices:
            return _resolve(choices[0], root, depth + 1) if len(choices) == 1 else {}
    if "type" not in schema and ("enum" in schema or "const" in schema):
        values = schema.get("enum", [schema.get("const")])
        return {"type": "string"} if all(isinstance(value, str) for value in values) else {}
    return schema


def paths(tool: ToolSchema) -> Iterator[str]:
    """Every first-level fact that a condition about this tool may name, as it is written."""
    for root, facts in FACTS.items():
        yield from (f"{root}.{name}" for name in facts)
    yield from (f"args.{name}" for name in tool.argument_names)
