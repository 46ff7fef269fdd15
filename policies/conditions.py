"""Conditions: CEL expressions, type-checked when a policy is loaded, evaluated on plain maps.

Two environments. The *checking* one knows message types, so that a misspelt or mistyped field is found at load. The
*running* one sees maps: in a message an absent integer reads as 0 and `args.replicas <= 0` would hold; in a map it is an
error, and errors fail closed. An error comes back from the engine as a value that is truthy in Python, so only
`value is True` counts.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from cel_expr_python import cel

from policies.schema import FACTS, ROOTS, ToolSchema, message_types

MAX_BYTES = 2048
MAX_NESTED_MACROS = 2
MAX_SHOWN = 80
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_FUNCTIONS = (
    *("contains", "startsWith", "endsWith", "matches", "size", "has"),
    *("all", "exists", "exists_one", "map", "filter"),
    *("int", "uint", "double", "string", "bool", "type", "timestamp", "duration"),
)
_WORD = re.compile(r"""[rR]?"(?:[^"\\\n]|\\.)*"|[rR]?'(?:[^'\\\n]|\\.)*'|[A-Za-z_]\w*|[()]|\S""")
_STRING = re.compile(r"""[rR]?"(?:[^"\\\n]|\\.)*"|[rR]?'(?:[^'\\\n]|\\.)*'""")
_FACT = re.compile(rf"\b({'|'.join(ROOTS)})\.([A-Za-z_]\w*)")
_ENGINE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDEFINED_FIELD = re.compile(r"undefined field '(\w+)' not found in struct 'facts\.([\w.]+)'")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'(?: \(in container ''\))?")


@dataclass(frozen=True)
class ConditionError:
    """A condition could not be evaluated: a fact it reads is missing, or a limit was reached."""

    message: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with an expression: `line` and `column` count from 1 inside the expression."""

    line: int
    column: int
    message: str


class ConditionRefused(Exception):
    """The expression does not compile; `problems` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


class Facts:
    """A situation bound once for any number of conditions."""

    def __init__(self, situation: Mapping[str, Any]) -> None:
        self.situation = situation
        self._activation: Any = None

    @property
    def activation(self) -> Any:
        """The engine's form, made when the first condition needs it."""
        if self._activation is None:
            self._activation = _running().Activation({root: dict(self.situation.get(root) or {}) for root in ROOTS})
        return self._activation


class Condition:
    """One compiled expression. Immutable, safe to share between threads."""

    def __init__(self, text: str, compiled: Any) -> None:
        self.text = text
        self._compiled = compiled

    def holds(self, facts: Facts | Mapping[str, Any]) -> bool | ConditionError:
        """Whether the expression is true of a situation; ConditionError where it cannot be told."""
        try:
            bound = facts if isinstance(facts, Facts) else Facts(facts)
            result = self._compiled.eval(bound.activation)
            value = result.value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            return ConditionError(_first_line(error))
        if value is True or value is False:
            return value
        return ConditionError(
            _first_line(value if isinstance(value, str) else f"not a yes or no: {type(value).__name__}")
        )


@cache
def _running() -> Any:
    facts = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables=dict.fromkeys(ROOTS, facts))


class Checker:
    """The checking environments of a set of tools, made once per load."""

    def __init__(self, tools: Iterable[ToolSchema]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._environments: dict[str, Any] = {}

    def compile(self, text: str, tools: Sequence[str]) -> Condition:
        """Check `text` against the arguments of every tool named, and make it ready to run. Raises ConditionRefused."""
        _check_limits(text)
        failures: dict[tuple[Problem, ...], list[str]] = {}
        for tool in tools:
            problems = self._check(text, tool)
            if problems:
                failures.setdefault(problems, []).append(tool)
        if failures:
            raise ConditionRefused(_merge(failures, tools))
        try:
            return Condition(text, _running().compile(text))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConditionRefused([Problem(1, 1, _first_line(error))]) from error

    def _check(self, text: str, tool: str) -> tuple[Problem, ...]:
        if tool not in self._environments:
            variables = {root: cel.Type(f"facts.{root}") for root in ROOTS}
            self._environments[tool] = cel.NewEnv(message_types(self._tools[tool]), variables=variables)
        try:
            kind = self._environments[tool].compile(text).return_type()
        except (RuntimeError, TypeError, ValueError) as error:
            return _problems(str(error), self._tools[tool])
        if kind.name() not in ("BOOL", "DYN", "google.protobuf.Value"):
            return (Problem(1, 1, f"a condition says yes or no, this one is of type {kind.name().lower()}"),)
        return ()


def compile_condition(text: str, *tools: ToolSchema) -> Condition:
    """One expression, checked against these tools. Raises ConditionRefused."""
    return Checker(tools).compile(text, [tool.name for tool in tools])


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'replicas'?` where something known is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def facts_read(text: str, situation: Mapping[str, Any]) -> str:
    """What an expression reads, with the values that it found: `args.replicas is 20`. Empty where it reads nothing."""
    found = dict.fromkeys(_FACT.findall(_STRING.sub('""', text)))
    return ", ".join(f"{root}.{name} is {_shown(situation, root, name)}" for root, name in found)


def _shown(situation: Mapping[str, Any], root: str, name: str) -> str:
    """A fact's value as a condition would write it, short; whatever it holds stays on one line."""
    facts = situation.get(root)
    if not isinstance(facts, Mapping) or name not in facts:
        return "absent"
    value = json.dumps(facts[name], default=str)
    return value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"


def _check_limits(text: str) -> None:
    if not text.strip():
        raise ConditionRefused([Problem(1, 1, "the expression is empty")])
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ConditionRefused([Problem(1, 1, f"the expression is longer than {MAX_BYTES} bytes: split the rule")])
    if any(ord(letter) < 32 and letter not in "\t\r\n" for letter in text) or not _encodes(text):
        raise ConditionRefused([Problem(1, 1, "the expression contains a control character")])
    depth = _macro_depth(text)
    if depth > MAX_NESTED_MACROS:
        raise ConditionRefused(
            [Problem(1, 1, f"{depth} macros (all, exists, map …) inside one another; at most {MAX_NESTED_MACROS}")]
        )


def _encodes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _macro_depth(text: str) -> int:
    """How deep macros are nested; `dyn()` is refused here too, because it would switch the type check off."""
    open_calls: list[bool] = []
    deepest, previous = 0, ""
    for word in _WORD.findall(text):
        if word == "(":
            if previous == "dyn":
                raise ConditionRefused(
                    [Problem(1, 1, "dyn() would switch the type check off: not part of the language here")]
                )
            open_calls.append(previous in _MACROS)
            deepest = max(deepest, sum(open_calls))
        elif word == ")" and open_calls:
            open_calls.pop()
        previous = word
    return deepest


def _problems(message: str, tool: ToolSchema) -> tuple[Problem, ...]:
    found = [
        Problem(int(line), int(column), _sentence(text.removesuffix(" [INVALID_ARGUMENT]"), tool))
        for line, column, text in _ENGINE_ERROR.findall(message)
        if "'*error*'" not in text and "extraneous input" not in text  # these only follow from the error before
    ]
    return tuple(found[:3]) or (Problem(1, 1, _first_line(message)),)


def _sentence(text: str, tool: ToolSchema) -> str:
    field = _UNDEFINED_FIELD.search(text)
    if field:
        name, struct = field.groups()
        known = tool.argument_names if struct == "args" else tuple(FACTS.get(struct, ()))
        place = struct.replace("_type", "")
        return f"undefined field '{name}' in {place}{nearest(name, known)}"
    reference = _UNDECLARED.search(text)
    if reference:
        name = reference.group(1)
        root, _, rest = name.partition(".")
        guess = nearest(root, (*ROOTS, *_FUNCTIONS))
        return f"unknown name '{name}'" + (guess.replace("'?", f".{rest}'?") if rest else guess)
    if "token recognition error at: '= '" in text:
        return "a single '=' compares nothing; did you mean '=='?"
    return text.split(" expecting {")[0].strip().replace("facts.", "")


def _merge(failures: Mapping[tuple[Problem, ...], Sequence[str]], tools: Sequence[str]) -> list[Problem]:
    """One problem per sentence, with the tools it concerns where it does not concern all of them."""
    return [
        replace(problem, message=problem.message + _concerning(failed, tools))
        for problems, failed in failures.items()
        for problem in problems
    ]


def _concerning(failed: Sequence[str], tools: Sequence[str]) -> str:
    if len(failed) == len(tools):
        return ""
    return f" [for {len(failed)} of {len(tools)} matched tools, e.g. {failed[0]}: narrow match.tools]"


def _first_line(error: object) -> str:
    """The engine's sentence without its status word, its caret picture, and anything overlong."""
    line = str(error).split("\n", 1)[0]
    return re.sub(r"^[A-Z_]+: | ?\[[A-Z_]+\]$", "", line)[:200]
