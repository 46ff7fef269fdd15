"""Loading a policy: files in, one checked Policy out, or every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from domain.canonical import digest_of
from domain.decisions import Decision
from domain.errors import PolicyError
from policies.conditions import nearest
from policies.gate import concerns, decide
from policies.globs import Globs
from policies.parse import Bundle, Parser
from policies.rules import PROTECTED_NAMESPACES, Branch, Invariant, Match, Policy, Rule, Test
from policies.schema import FACTS, ToolSchema
from policies.source import Problem, Unreadable, read

__all__ = [
    "Policy",
    "Rule",
    "ToolSchema",
    "base_situation",
    "laid_over_base",
    "load",
    "nothing_in_force",
    "run_test",
    "situation_of",
]

MAX_RULES = 500
MAX_PROBLEMS = 50


def load(files: Mapping[str, str], tools: Sequence[ToolSchema], variables: Mapping[str, tuple[str, ...]]) -> Policy:
    """The policy that these files (name -> YAML) state, type-checked against `tools`, its own tests passed.

    `variables` are what `$NAME` stands for in groups; `AGENT_NAMESPACE`, where given, is protected besides kube-system and
    its kin. Raises PolicyError with every problem as `file:line: rule x: sentence`. Never raises anything else. Without any
    tools (no system is configured) conditions and tests are not looked at: nothing can be called, so nothing is decided.
    """
    parser = Parser(tools, variables)
    roots = []
    for name in sorted(files):
        try:
            root = read(name, files[name])
        except Unreadable as unreadable:
            parser.problems.append(unreadable.problem)
            continue
        if root is not None:
            roots.append(root)
    parser.parse(roots)
    _refuse_if(parser.problems)
    if not parser.bundle.rules:
        raise PolicyError(("the policy has no rule, so that everything would be denied: check AGENT_POLICY",))
    if len(parser.bundle.rules) > MAX_RULES:
        raise PolicyError((f"the policy has more than {MAX_RULES} rules",))
    policy = _assemble(parser.bundle, tools, variables)
    _refuse_if([*_failed_tests(policy), *_broken_invariants(policy)])
    return policy


def nothing_in_force(tools: Sequence[ToolSchema] = ()) -> Policy:
    """The policy where there is none: it denies everything."""
    return Policy(digest_of([]), tools={tool.name: tool for tool in tools})


def _refuse_if(problems: Sequence[Problem]) -> None:
    if problems:
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))
        sentences = [str(problem) for problem in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            sentences.append(f"… and {len(ordered) - MAX_PROBLEMS} more problems")
        raise PolicyError(tuple(sentences))


def _assemble(bundle: Bundle, tools: Sequence[ToolSchema], variables: Mapping[str, tuple[str, ...]]) -> Policy:
    return Policy(
        hash=digest_of(_normalised(bundle)),
        rules=tuple(bundle.rules),
        tools={tool.name: tool for tool in tools},
        groups=bundle.groups,
        calendars=bundle.calendars,
        freezes=tuple(bundle.freezes),
        invariants=tuple(bundle.invariants),
        environments=tuple(bundle.environments),
        break_glass=bundle.break_glass,
        protected=PROTECTED_NAMESPACES | frozenset(variables.get("AGENT_NAMESPACE", ())),
        candidates={tool.name: tuple(rule for rule in bundle.rules if rule.match.covers(tool)) for tool in tools},
    )


# --- the hash: all that decides, nothing else -------------------------------------------------------------------------


def _normalised(bundle: Bundle) -> dict[str, Any]:
    return {
        "groups": {name: list(members) for name, members in bundle.groups.items()},
        "calendars": [_flat(calendar) for calendar in bundle.calendars.values()],
        "freezes": [_flat(freeze) for freeze in bundle.freezes],
        **({"break_glass": _flat(bundle.break_glass)} if bundle.break_glass else {}),
        "rules": [
            {
                "id": rule.id,
                "match": _flat(rule.match),
                "then": _branch(rule.then),
                "else": _branch(rule.otherwise) if rule.otherwise else None,
                "mode": rule.mode,
                "expires_on": rule.expires_on,
            }
            for rule in bundle.rules
        ],
        "forbid_changes": [
            {
                "name": invariant.name,
                "match": _flat(invariant.match),
                "never": [outcome.value for outcome in invariant.never],
                "when": invariant.condition.text if invariant.condition else "",
            }
            for invariant in bundle.invariants
        ],
    }


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "decision": branch.decision.value,
        "when": branch.condition.text if branch.condition else "",
        "terms": _flat(branch.terms) if branch.terms else None,
        "reason": branch.reason,
    }


def _flat(thing: Any) -> dict[str, Any]:
    """A flat dataclass as plain JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, Globs):
            return list(value.patterns)
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return value if value is None or isinstance(value, str | int) else value.isoformat()

    return {name: plain(value) for name, value in vars(thing).items()}


# --- tests and invariants ---------------------------------------------------------------------------------------------


def base_situation(policy: Policy, tool: str) -> dict[str, Any]:
    """What a test's `given` is laid over: an alert's run in mode act, in production, on a quiet working day."""
    return {
        "tool": {"name": tool, "effect": policy.tools[tool].effect.value},
        "args": {},
        "target": {"system": "", "environment": "production", "namespace": "", "kind": "", "name": "", "touches": 1},
        "run": {"origin": "alert", "mode": "act", "agent": "rules", "tainted": False, "cost_micros": 0},
        "release": {},
        "requester": {"id": "", "groups": []},
        "rate": dict.fromkeys(FACTS["rate"], 0),
        "calendar": {
            "date": "2000-01-05",
            "weekday": 3,
            "hour": 12,
            "business": True,
            "open": ["business"],
            "frozen": False,
            "freezes": [],
        },
        "trust": dict.fromkeys(FACTS["trust"], 0),
    }


def situation_of(policy: Policy, test: Test) -> dict[str, Any]:
    """The situation that a test describes."""
    return laid_over_base(
        policy, test.given["tool"], {root: values for root, values in test.given.items() if root != "tool"}
    )


_CI = {"jenkins": ("job", "JenkinsJob"), "gitlab": ("project", "GitLabProject")}
"""Of each CI system the argument that names what a tool is about, and the kind of it."""


def laid_over_base(policy: Policy, tool: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """These facts over the base; what the arguments name is the target as well."""
    facts = base_situation(policy, tool)
    args, system = given.get("args", {}), tool.partition("_")[0]
    named = {key: value for key, value in args.items() if key in ("namespace", "kind", "name")}
    if system in _CI and isinstance(args.get(_CI[system][0]), str):
        argument, kind = _CI[system]
        folder, _, name = args[argument].rpartition("/")
        named = {"namespace": folder, "kind": kind, "name": name}
    facts["target"] |= named | ({"system": system} if system in ("kubernetes", *_CI) else {})
    for root, values in given.items():
        facts[root] |= values
    return facts


def run_test(policy: Policy, test: Test) -> str:
    """What is wrong with the policy according to a test, empty where it says what is expected."""
    decision = decide(policy, situation_of(policy, test))
    got: dict[str, Any] = {"decision": decision.outcome.value, "rule": decision.rule}
    if decision.terms:
        got |= {"groups": list(decision.terms.groups), "quorum": decision.terms.quorum}
    wrong = [
        f"{key} is {got.get(key, 'nothing')!r}, expected {wanted!r}"
        for key, wanted in test.expect.items()
        if got.get(key) != wanted
    ]
    return f"test '{test.name}' fails: {', '.join(wrong)} ({decision.reason})" if wrong else ""


def _failed_tests(policy: Policy) -> Iterator[Problem]:
    for rule in policy.rules if policy.tools else ():
        for test in rule.tests:
            wrong = run_test(policy, test)
            known = ("", *(each.id for each in policy.rules))
            wanted = str(test.expect.get("rule", "")).removesuffix("/else")
            if wanted not in known and not wanted.startswith(("builtin:", "invariant:")):
                wrong = f"test '{test.name}' expects the rule '{wanted}', which does not exist{nearest(wanted, known)}"
            if wrong:
                yield Problem(rule.file, test.line, wrong, rule.id)


def _broken_invariants(policy: Policy) -> Iterator[Problem]:
    """Invariants that some generated situation would break, were they not enforced."""
    unguarded = replace(policy, invariants=())
    for invariant in policy.invariants:
        for facts in _generated(policy, invariant):
            decision = decide(unguarded, facts)
            if decision.outcome in invariant.never and concerns(policy, invariant, facts, in_doubt=False):
                yield _breaks(policy, invariant, facts, decision)
                break


def _breaks(policy: Policy, invariant: Invariant, facts: Mapping[str, Any], decision: Decision) -> Problem:
    rule = policy.rule(decision.rule)
    where = f" at {rule.file}:{rule.line}" if rule else ""
    message = (
        f"the invariant '{invariant.name}' is broken by the rule {decision.rule}{where}, "
        f"which says {decision.outcome.value} to {facts['tool']['name']} in {facts['target']['environment']}"
    )
    return Problem(invariant.file, invariant.line, message)


def _generated(policy: Policy, invariant: Invariant) -> Iterator[dict[str, Any]]:
    """Situations for every tool that an invariant covers: environments, namespaces, origins, hours, sizes, trust."""
    environments = dict.fromkeys(("production", *policy.environments, *_named(policy, "environments")))
    namespaces = dict.fromkeys(("shop", *_named(policy, "namespaces")))
    moods: list[dict[str, dict[str, Any]]] = [
        {"calendar": {"business": True, "frozen": False}, "target": {"replicas": 1, "touches": 1, "age_s": 60}},
        {"calendar": {"business": False, "frozen": True}, "target": {"replicas": 500, "touches": 500, "age_s": 10**7}},
        {"calendar": {"business": True, "frozen": False}, "trust": dict.fromkeys(FACTS["trust"], 1000)},
    ]
    for tool, environment, namespace, mood, tainted in product(
        (name for name, tool in policy.tools.items() if invariant.match.covers(tool)),
        environments,
        namespaces,
        moods,
        (False, True),
    ):
        facts = base_situation(policy, tool)
        facts["target"] |= {"environment": environment, "namespace": namespace}
        facts["run"]["tainted"] = tainted
        for root, values in mood.items():
            facts[root] |= values
        yield facts


def _named(policy: Policy, field: str) -> Iterator[str]:
    """Words that the policy's patterns for a field match."""
    matches: list[Match] = [rule.match for rule in policy.rules] + [each.match for each in policy.invariants]
    for match in matches:
        globs: Globs | None = getattr(match, field)
        yield from (pattern.replace("*", "x").replace("?", "x") for pattern in (globs.patterns if globs else ()))
