"""A proposed change of policy as files: a new rule, and the narrowing of the rules that would go on asking. Text in, text out.

Comments and layout stay: only the words that change are touched, found by their place in the parsed YAML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

FILE = "earned.yaml"
"""Where proposed rules go; a person may move them when merging."""

_TEST = re.compile(r"test '(.+?)' fails: ")


def with_rule(files: Mapping[str, str], rule: str) -> dict[str, str]:
    """The files with a rule (a YAML list item, indented by two) at the end of the file of proposed rules."""
    return {**files, FILE: files.get(FILE, "rules:\n").rstrip("\n") + "\n" + rule}


def narrowed(files: Mapping[str, str], rule: str, unless: str) -> dict[str, str]:
    """The files with `rule` (an id, or `id/else` for its other branch) no longer holding where `unless` does."""
    rule_id, _, other = rule.partition("/")
    for name, text in files.items():
        for item in _rules(text):
            if _value(item, "id") == rule_id:
                branch = _child(item, "else") if other else item
                if isinstance(branch, yaml.MappingNode):
                    return {**files, name: _narrow(text, branch, unless)}
    return dict(files)


def expecting(files: Mapping[str, str], problems: Sequence[str], decision: str, rule: str) -> dict[str, str]:
    """The files with the tests that these load problems name expecting `decision` by `rule`; others stay as they are."""
    wanted = {match[1] for problem in problems if (match := _TEST.search(problem))}
    changed = dict(files)
    for name in files:
        for test in wanted:
            changed[name] = _expecting(changed[name], test, f"{{decision: {decision}, rule: {rule}}}")
    return changed


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff that `git apply` and `patch -p1` take."""
    lines: list[str] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        source = f"a/{name}" if name in before else "/dev/null"
        lines += difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), source, f"b/{name}")
    return "".join(lines)


def quoted(text: str) -> str:
    """A YAML scalar that means these words."""
    return "'" + text.replace("'", "''") + "'"


def _expecting(text: str, name: str, expected: str) -> str:
    for test in _tests(text):
        expect = _child(test, "expect")
        if _value(test, "name") == name and expect is not None:
            start, end = expect.start_mark.index, expect.end_mark.index
            space = text[start:end][len(text[start:end].rstrip()) :]
            return f"{text[:start]}{expected}{space}{text[end:]}"
    return text


def _narrow(text: str, branch: yaml.MappingNode, unless: str) -> str:
    condition = _child(branch, "when")
    if isinstance(condition, yaml.ScalarNode):
        start, end = condition.start_mark.index, condition.end_mark.index
        return text[:start] + quoted(f"({condition.value.strip()}) && !({unless})") + text[end:]
    key, decided = next(pair for pair in branch.value if pair[0].value == "decision")
    end, when = decided.end_mark.index, f"when: {quoted(f'!({unless})')}"
    separator = ", " if branch.flow_style else "\n" + " " * key.start_mark.column
    return text[:end] + separator + when + text[end:]


def _rules(text: str) -> Iterator[yaml.MappingNode]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    rules = _child(root, "rules") if isinstance(root, yaml.MappingNode) else None
    for item in rules.value if isinstance(rules, yaml.SequenceNode) else ():
        if isinstance(item, yaml.MappingNode):
            yield item


def _tests(text: str) -> Iterator[yaml.MappingNode]:
    for rule in _rules(text):
        tests = _child(rule, "tests")
        for test in tests.value if isinstance(tests, yaml.SequenceNode) else ():
            if isinstance(test, yaml.MappingNode):
                yield test


def _child(node: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in node.value if key.value == name), None)


def _value(node: yaml.MappingNode, name: str) -> str:
    found = _child(node, name)
    return str(found.value) if isinstance(found, yaml.ScalarNode) else ""
