"""What every tool is made of: a checked arguments model, what a call is about, and the functions behind it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.actions import Action, Effect, Target
from domain.errors import ArgumentsRefused
from domain.ports import Preview, Probe, Understood

Arguments = Mapping[str, Any]


class Model(BaseModel):
    """Base of every tool's arguments: no unknown keys, no coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class ReadTool:
    """A tool that only looks. Satisfies domain.ports.ReadTool."""

    name: str
    description: str
    model: type[Model]
    about: Callable[[Arguments], Target]
    reader: Callable[[Arguments], Awaitable[Any]]
    renderer: Callable[[Any], str]
    effect: Effect = Effect.READ

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of the arguments."""
        return schema_of(self.model)

    def understand(self, arguments: Arguments) -> Understood:
        """The arguments with every default filled in, and what they are about. Raises ArgumentsRefused."""
        checked = validate(self.name, self.model, arguments)
        return Understood(checked, self.about(checked))

    async def read(self, arguments: Arguments) -> Any:
        """Plain JSON. Raises ToolError."""
        return await self.reader(validate(self.name, self.model, arguments))

    def render(self, data: Any) -> str:
        """What the model is shown of it."""
        return self.renderer(data)


@dataclass(frozen=True)
class WriteTool:
    """A tool that changes something. Satisfies domain.ports.WriteTool."""

    name: str
    description: str
    effect: Effect
    model: type[Model]
    about: Callable[[Arguments], Target]
    previewer: Callable[[Arguments], Awaitable[Preview]]
    executor: Callable[[Action, str], Awaitable[str]]
    finder: Callable[[Action, str], Awaitable[bool | None]]
    prober: Callable[[Action], Awaitable[Probe]]
    probe_seconds: int

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of the arguments."""
        return schema_of(self.model)

    def understand(self, arguments: Arguments) -> Understood:
        """The arguments with every default filled in, and what they are about. Raises ArgumentsRefused."""
        checked = validate(self.name, self.model, arguments)
        return Understood(checked, self.about(checked))

    async def preview(self, arguments: Arguments) -> Preview:
        """Observe the target and dry-run the change."""
        return await self.previewer(validate(self.name, self.model, arguments))

    async def execute(self, action: Action, key: str) -> str:
        """Do it once, leaving `key` in the target."""
        return await self.executor(action, key)

    async def arrived(self, action: Action, key: str) -> bool | None:
        """Whether an earlier execute took effect."""
        return await self.finder(action, key)

    async def probe(self, action: Action) -> Probe:
        """Whether the effect holds now."""
        return await self.prober(action)


def validate(tool: str, model: type[Model], arguments: Arguments) -> dict[str, Any]:
    """Canonical arguments: checked as JSON (so that a map is a map and nothing is coerced), defaults filled in."""
    try:
        return model.model_validate_json(json.dumps(dict(arguments), allow_nan=False)).model_dump(mode="json")
    except ValidationError as error:
        raise _refused(tool, model, error) from None
    except (TypeError, ValueError) as error:
        raise ArgumentsRefused(f"{tool}: the arguments are not plain JSON: {error}") from error


def _refused(tool: str, model: type[Model], error: ValidationError) -> ArgumentsRefused:
    problems, first = [], ""
    for problem in error.errors(include_url=False, include_context=False)[:5]:
        where = ".".join(str(part) for part in problem["loc"])
        first = first or where
        problems.append(_sentence(model, problem["type"], where, str(problem["msg"]), problem.get("input")))
    return ArgumentsRefused(f"{tool}: {'; '.join(problems)}", first)


def _sentence(model: type[Model], kind: str, where: str, message: str, given: Any) -> str:
    if kind == "extra_forbidden":
        return f"unknown argument {where!r}; it takes {', '.join(model.model_fields)}"
    if kind == "missing":
        return f"{where} is required"
    # pydantic begins its own sentences with a capital; ours follow "Value error, " as they are
    message = message.removeprefix("Value error, ") if kind == "value_error" else message[0].lower() + message[1:]
    if not where:
        return message
    shown = json.dumps(given, default=str)
    return f"{where}: {message}, not {shown if len(shown) <= 80 else shown[:79] + '…'}"


def schema_of(model: type[Model]) -> dict[str, Any]:
    """A model's JSON Schema without titles and references, as small as it gets."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    compact: dict[str, Any] = _compact(schema, definitions)
    compact.pop("description", None)
    return compact


def _compact(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_compact(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _compact({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    result = {key: _compact(value, definitions) for key, value in schema.items() if key not in ("title", "properties")}
    if "properties" in schema:  # a property may itself be called title
        result["properties"] = {name: _compact(value, definitions) for name, value in schema["properties"].items()}
    return result
