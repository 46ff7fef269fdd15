"""Nodes of YAML to rules, groups, calendars and invariants. Every problem is collected, with its line and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

from domain.actions import Effect, Mode
from domain.decisions import ApprovalTerms, Outcome
from domain.runs import Origin
from policies.calendars import WEEKDAYS, Calendar, Freeze
from policies.conditions import Checker, Condition, ConditionRefused, nearest
from policies.globs import Globs, is_glob
from policies.rules import DEFAULT_GROUPS, Branch, BreakGlassRule, Invariant, Match, Rule, Test
from policies.schema import FACTS, ToolSchema
from policies.source import Node, Problem
from policies.words import unknown_words

SECTIONS = ("groups", "environments", "calendars", "freezes", "break_glass", "rules", "forbid_changes")
RULE_KEYS = ("id", "decision", "match", "when", "else", "approval", "reason", "mode", "owner", "expires_on", "tests")
ELSE_KEYS = ("decision", "when", "approval", "reason")
MATCH_KEYS = ("tools", "effects", "environments", "namespaces", "agents", "origins")
APPROVAL_KEYS = (
    *("groups", "quorum", "expires", "exclude", "deny_quorum", "reason"),
    *("escalate_to", "escalate_after", "window"),
)
MAX_QUORUM = 20
MAX_BREAK_GLASS_MINUTES = 60
MAX_EXPIRES_S = 7 * 24 * 3600
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_REFERENCE = re.compile(r"@[\w.-]{1,80}|[UWS][A-Z0-9]{6,20}|[^@\s]{1,64}@[\w.-]{1,190}")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24:00))")
T = TypeVar("T")


@dataclass
class Bundle:
    """What the files of a policy add up to, before it is known to be usable."""

    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    environments: list[str] = field(default_factory=list)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    freezes: list[Freeze] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    invariants: list[Invariant] = field(default_factory=list)
    break_glass: BreakGlassRule | None = None


class Parser:
    """Reads the files of one bundle in two passes: what rules refer to first, then the rules."""

    def __init__(self, tools: Sequence[ToolSchema], variables: Mapping[str, tuple[str, ...]]) -> None:
        self.bundle = Bundle()
        self.problems: list[Problem] = []
        self._tools = tuple(tools)
        self._variables = variables
        self._checker = Checker(tools)
        self._rule = ""

    def parse(self, roots: Sequence[Node]) -> None:
        """Fill `bundle`, or `problems`."""
        usable = [root for root in roots if self._keys(root, SECTIONS, "a section of a policy file")]
        for root in usable:
            self._each(root.get("groups"), self._group)
            self.bundle.environments += self._texts(root.get("environments"), "environments")
            self._each(root.get("calendars"), self._calendar)
        for root in usable:
            self.bundle.freezes += filter(None, map(self._freeze, self._list(root.get("freezes"), "freezes")))
            if (glass := root.get("break_glass")) is not None:
                self._break_glass(glass)
            for node in self._list(root.get("rules"), "rules"):
                self._add_rule(node)
            self.bundle.invariants += filter(
                None, map(self._invariant, self._list(root.get("forbid_changes"), "forbid_changes"))
            )

    # --- helpers ------------------------------------------------------------------------------------------------------

    def complain(self, node: Node, message: str, *, offset: int = 0) -> None:
        """Collect a problem at a node."""
        self.problems.append(Problem(node.file, node.line + offset, message, self._rule))

    def _keys(self, node: Node, known: Sequence[str], what: str) -> bool:
        if node.kind != "map":
            self.complain(node, f"expected {what} with keys ({', '.join(known)})")
            return False
        for key, _ in node.entries:
            if key.text not in known:
                self.complain(key, f"'{key.text}' is not a key of {what}{nearest(key.text, known)}")
        return True

    def _each(self, node: Node | None, take: Callable[[Node, Node], None]) -> None:
        if node is not None and self._is(node, "map", "names and their values"):
            for key, value in node.entries:
                take(key, value)

    def _is(self, node: Node, kind: str, what: str) -> bool:
        if node.kind != kind:
            self.complain(node, f"expected {what}")
        return node.kind == kind

    def _list(self, node: Node | None, what: str) -> Sequence[Node]:
        if node is None or not self._is(node, "list", f"a list of {what}"):
            return ()
        return node.items

    def _text(self, node: Node | None, what: str, *, default: str = "") -> str:
        if node is None:
            return default
        if node.kind != "scalar" or (node.plain and node.text in ("", "~", "null")):
            self.complain(node, f"{what} must be text")
            return default
        return node.text

    def _texts(self, node: Node | None, what: str) -> list[str]:
        """A list of words; one word alone is a list of one."""
        if node is None:
            return []
        nodes = node.items if node.kind == "list" else [node]
        if not nodes:
            self.complain(node, f"{what} is empty: leave it out to mean anything")
        return [text for text in (self._text(item, what) for item in nodes) if text]

    def _one_of(self, node: Node | None, known: Sequence[str], what: str, default: str) -> str:
        text = self._text(node, what, default=default)
        if text in known:
            return text
        if node is not None:
            self.complain(node, f"{what} is one of {', '.join(known)}, not '{text}'{nearest(text, known)}")
        return default

    def _number(self, node: Node | None, what: str, default: int) -> int:
        if node is None:
            return default
        if node.kind == "scalar" and node.plain and node.text.isdecimal() and 1 <= int(node.text[:9]) <= MAX_QUORUM:
            return int(node.text)
        self.complain(node, f"{what} is a whole number from 1 to {MAX_QUORUM}")
        return default

    def _seconds(self, node: Node | None, what: str, default: int) -> int:
        if node is None:
            return default
        match = _DURATION.fullmatch(node.text) if node.kind == "scalar" else None
        seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
        if not 60 <= seconds <= MAX_EXPIRES_S:
            self.complain(node, f"{what} is a duration from 1m to 7d such as 30m or 2h, not '{node.text}'")
            return default
        return seconds

    # --- what rules refer to ------------------------------------------------------------------------------------------

    def _group(self, key: Node, value: Node) -> None:
        if not _ID.fullmatch(key.text):
            self.complain(key, f"'{key.text}' cannot name a group: lower-case letters, digits, - and _ only")
        if key.text in self.bundle.groups:
            self.complain(key, f"the group '{key.text}' is defined twice")
        members: list[str] = []
        for node in value.items if value.kind == "list" else [value]:
            reference = self._text(node, "a group's member")
            if reference.startswith("$"):
                members += self._variable(node, reference.removeprefix("$"))
            elif _REFERENCE.fullmatch(reference):
                members.append(reference)
            elif reference:
                self.complain(node, f"'{reference}' is no @user-group, e-mail address, user id or $VARIABLE")
        self.bundle.groups[key.text] = tuple(dict.fromkeys(members))

    def _variable(self, node: Node, name: str) -> tuple[str, ...]:
        known = ("AGENT_APPROVERS", *self._variables)
        if name not in known:
            self.complain(node, f"there is no variable ${name}{nearest(name, known)}")
        return tuple(self._variables.get(name, ()))

    def _break_glass(self, node: Node) -> None:
        """Who may approve alone in an emergency; an hour at most, whatever is written."""
        if not self._keys(node, ("group", "max_minutes"), "break_glass"):
            return
        if self.bundle.break_glass is not None:
            self.complain(node, "break_glass is defined twice")
        group = self._text(node.get("group"), "the group of break_glass")
        if group not in self.bundle.groups:
            self.complain(node.get("group") or node, f"there is no group '{group}'{nearest(group, self.bundle.groups)}")
        limit = node.get("max_minutes")
        text = limit.text if limit else str(MAX_BREAK_GLASS_MINUTES)
        if not (text.isdecimal() and 1 <= int(text[:9]) <= MAX_BREAK_GLASS_MINUTES):
            self.complain(limit or node, f"max_minutes is a whole number from 1 to {MAX_BREAK_GLASS_MINUTES}")
            return
        self.bundle.break_glass = BreakGlassRule(group, int(text))

    def _calendar(self, key: Node, value: Node) -> None:
        if not self._keys(value, ("time_zone", "days", "hours", "closed_on"), "a calendar"):
            return
        zone = self._zone(value.get("time_zone"))
        days = [self._one_of(day, WEEKDAYS, "a day", "mon") for day in self._list(value.get("days"), "days")]
        hours = value.get("hours")
        match = _HOURS.fullmatch(hours.text) if hours is not None else None
        if match is None:
            self.complain(hours or value, "hours are written as 09:00-17:30")
            return
        opens = time(int(match[1]), int(match[2]))
        closes = time.max if match[5] else time(int(match[3]), int(match[4]))
        if opens >= closes:
            self.complain(value, "hours end before they begin: use two calendars for a night")
        closed = [self._date(day) for day in self._list(value.get("closed_on"), "dates")]
        indices = tuple(sorted(WEEKDAYS.index(day) for day in set(days or WEEKDAYS[:5])))
        self.bundle.calendars[key.text] = Calendar(key.text, zone, indices, opens, closes, tuple(filter(None, closed)))

    def _zone(self, node: Node | None) -> str:
        name = self._text(node, "time_zone", default="UTC")
        if name == "UTC" or name in available_timezones():
            return name
        if node is not None:
            self.complain(node, f"there is no time zone '{name}'{nearest(name, available_timezones())}")
        return "UTC"

    def _date(self, node: Node | None) -> date | None:
        if node is None:
            return None
        try:
            return date.fromisoformat(node.text)
        except ValueError:
            self.complain(node, f"a date is written as 2026-12-31, not '{node.text}'")
            return None

    def _freeze(self, node: Node) -> Freeze | None:
        if not self._keys(node, ("name", "from", "until", "time_zone", "environments"), "a freeze"):
            return None
        zone = ZoneInfo(self._zone(node.get("time_zone")))
        since, until = (self._moment(node, key, zone) for key in ("from", "until"))
        if since is None or until is None:
            return None
        if since >= until:
            self.complain(node, "the freeze ends before it begins")
        environments = self._globs(node.get("environments"), "environments", self.bundle.environments)
        return Freeze(self._text(node.get("name"), "name", default="freeze"), since, until, environments)

    def _moment(self, node: Node, key: str, zone: ZoneInfo) -> datetime | None:
        value = node.get(key)
        try:
            moment = datetime.fromisoformat(value.text if value else "")
        except ValueError:
            self.complain(value or node, f"'{key}' is a moment such as 2026-12-19T18:00")
            return None
        return moment.replace(tzinfo=moment.tzinfo or zone).astimezone(UTC)

    # --- rules --------------------------------------------------------------------------------------------------------

    def _add_rule(self, node: Node) -> None:
        identity = node.get("id") if node.kind == "map" else None
        self._rule = identity.text if identity is not None and identity.kind == "scalar" else "(without id)"
        if self._keys(node, RULE_KEYS, "a rule"):
            if not _ID.fullmatch(self._rule):
                self.complain(identity or node, "a rule needs an id of lower-case letters, digits, - . and _")
            earlier = next((rule for rule in self.bundle.rules if rule.id == self._rule), None)
            if earlier:
                self.complain(node, f"this id is taken by the rule at {earlier.file}:{earlier.line}")
            self.bundle.rules.append(self._read_rule(node))
        self._rule = ""

    def _read_rule(self, node: Node) -> Rule:
        match = self._match(node, "rule")
        matched = [tool.name for tool in self._tools if match.covers(tool)]
        otherwise = node.get("else")
        branch: Branch | None = None
        if otherwise is not None and self._keys(otherwise, ELSE_KEYS, "else"):
            if node.get("when") is None:
                self.complain(otherwise, "'else' needs a 'when' to be the other side of")
            branch = self._branch(otherwise, matched)
        expires = self._date(node.get("expires_on"))
        return Rule(
            id=self._rule,
            file=node.file,
            line=node.line,
            match=match,
            then=self._branch(node, matched),
            otherwise=branch,
            mode=self._one_of(node.get("mode"), ("enforce", "warn", "shadow"), "mode", "enforce"),
            owner=self._text(node.get("owner"), "owner"),
            expires_on=expires.isoformat() if expires else "",
            tests=tuple(filter(None, map(self._test, self._list(node.get("tests"), "tests")))),
        )

    def _branch(self, node: Node, matched: Sequence[str]) -> Branch:
        if node.get("decision") is None:
            self.complain(node, "'decision' is missing: deny, ask or allow")
        decision = Outcome(self._one_of(node.get("decision"), [*Outcome], "decision", "deny"))
        approval = node.get("approval")
        terms = None
        if approval is not None and decision is not Outcome.ASK:
            self.complain(approval, f"'approval' belongs to a rule that asks; this one says {decision.value}")
        elif approval is not None and self._keys(approval, APPROVAL_KEYS, "approval"):
            terms = self._terms(approval)
        return Branch(
            decision, self._condition(node.get("when"), matched), terms, self._text(node.get("reason"), "reason")
        )

    def _condition(self, node: Node | None, matched: Sequence[str]) -> Condition | None:
        if node is None or not matched:
            return None
        if node.kind != "scalar":
            self.complain(node, "'when' is an expression in CEL")
            return None
        condition, problems = None, list(unknown_words(node.text, self._words()))
        try:
            condition = self._checker.compile(node.text, matched)
        except ConditionRefused as refused:
            problems = list(refused.problems)
        for problem in problems:
            self.complain(node, f"when, column {problem.column}: {problem.message}", offset=node.offset(problem.line))
        return condition

    def _words(self) -> Mapping[str, Sequence[str]]:
        """The facts whose values are all known, and what these are."""
        environments = self.bundle.environments
        return {
            "tool.name": [tool.name for tool in self._tools],
            "tool.effect": [*Effect],
            "run.origin": [*Origin],
            "run.mode": [*Mode],
            "requester.groups": list(self.bundle.groups),
            "calendar.open": list(self.bundle.calendars),
            **({"target.environment": ["production", *environments]} if environments else {}),
        }

    def _terms(self, node: Node) -> ApprovalTerms:
        expires = self._seconds(node.get("expires"), "expires", 0)
        escalate_to = self._groups(node.get("escalate_to"), "escalate_to", ())
        after = self._seconds(node.get("escalate_after"), "escalate_after", 0)
        if after and not escalate_to:
            self.complain(node, "'escalate_after' needs 'escalate_to': whom to ask then")
        if after and expires and after >= expires:
            self.complain(node, "'escalate_after' must be less than 'expires', or nobody is ever asked then")
        return ApprovalTerms(
            groups=self._groups(node.get("groups"), "groups", DEFAULT_GROUPS),
            quorum=self._number(node.get("quorum"), "quorum", 1),
            expires_s=expires,
            exclude=self._exclude(node.get("exclude")),
            deny_quorum=self._number(node.get("deny_quorum"), "deny_quorum", 1),
            reason=self._one_of(node.get("reason"), ("never", "on_deny", "always"), "reason", "on_deny"),
            escalate_to=escalate_to,
            escalate_after_s=after,
            window=self._window(node.get("window")),
        )

    def _groups(self, node: Node | None, what: str, default: tuple[str, ...]) -> tuple[str, ...]:
        names = self._texts(node, what)
        for name in names:
            if name not in self.bundle.groups:
                where = node or Node("scalar", "", 0)
                self.complain(where, f"there is no group '{name}'{nearest(name, self.bundle.groups)}")
        return tuple(dict.fromkeys(names)) or default

    def _window(self, node: Node | None) -> tuple[str, ...]:
        names = self._texts(node, "window")
        for name in names:
            if node is not None and name not in self.bundle.calendars:
                self.complain(node, f"there is no calendar '{name}'{nearest(name, self.bundle.calendars)}")
        return tuple(dict.fromkeys(names))

    def _exclude(self, node: Node | None) -> tuple[str, ...]:
        """Requester and editor never vote; the list may add groups."""
        names = [name for name in self._texts(node, "exclude") if name != "requester"]
        for name in names:
            if node is not None and name not in self.bundle.groups:
                known = ("requester", *self.bundle.groups)
                self.complain(node, f"'exclude' names requester or a group, not '{name}'{nearest(name, known)}")
        return ("requester", *names)

    # --- what a rule is about -----------------------------------------------------------------------------------------

    def _match(self, owner: Node, what: str, key: str = "match") -> Match:
        node = owner.get(key)
        if node is None:
            self.complain(owner, f"'{key}' is missing: what the {what} is about")
            return Match()
        if not self._keys(node, MATCH_KEYS, key):
            return Match()
        if not node.entries:
            self.complain(node, f"'{key}' is empty: write tools: ['*'] to mean every tool")
        match = Match(
            tools=self._globs(node.get("tools"), "tools", [tool.name for tool in self._tools]),
            effects=self._globs(node.get("effects"), "effects", [*Effect]),
            environments=self._globs(node.get("environments"), "environments", self.bundle.environments),
            namespaces=self._globs(node.get("namespaces"), "namespaces", ()),
            agents=self._globs(node.get("agents"), "agents", ()),
            origins=self._globs(node.get("origins"), "origins", [*Origin]),
        )
        if self._tools and not any(match.covers(tool) for tool in self._tools):
            self.complain(node, "no tool has both this name and this effect")
        return match

    def _globs(self, node: Node | None, what: str, known: Sequence[str]) -> Globs | None:
        """Patterns that each match something known, where it is known what there is."""
        if node is None:
            return None
        patterns = self._texts(node, what)
        for pattern in patterns:
            if not is_glob(pattern):
                self.complain(node, f"'{pattern}' is no pattern: letters, digits and . : @ / _ - with * and ? only")
            elif known and not Globs([pattern]).any_of(known):
                self.complain(node, f"{what}: '{pattern}' matches nothing known{nearest(pattern, known)}")
        return Globs(patterns) if patterns else None

    def _invariant(self, node: Node) -> Invariant | None:
        if not self._keys(node, ("name", "match", "when", "never"), "an invariant"):
            return None
        name = self._text(node.get("name"), "name")
        if not name:
            self.complain(node, "an invariant needs a name: the sentence that must stay true")
        match = self._match(node, "invariant")
        matched = [tool.name for tool in self._tools if match.covers(tool)]
        never = node.get("never")
        outcomes = self._texts(never, "never") or ["allow"]
        if not set(outcomes) <= {"allow", "ask"}:
            self.complain(never or node, "'never' is allow, or [allow, ask]")
            outcomes = ["allow"]
        condition = self._condition(node.get("when"), matched)
        return Invariant(name, node.file, node.line, match, tuple(map(Outcome, outcomes)), condition)

    # --- tests --------------------------------------------------------------------------------------------------------

    def _test(self, node: Node) -> Test | None:
        if not self._keys(node, ("name", "given", "expect"), "a test"):
            return None
        given, expect = node.get("given"), node.get("expect")
        if given is None or expect is None or not given.get("tool") or not expect.get("decision"):
            self.complain(node, "a test needs given: {tool: …} and expect: {decision: …}")
            return None
        before = len(self.problems)
        self._keys(expect, ("decision", "rule", "groups", "quorum"), "expect")
        self._one_of(expect.get("decision"), [*Outcome], "decision", "deny")
        self._given(given)
        try:
            values = given.value(), expect.value()
        except ValueError as error:
            self.complain(given, str(error))
        return None if len(self.problems) > before else Test(self._text(node.get("name"), "name"), *values, node.line)

    def _given(self, node: Node) -> None:
        if not self._keys(node, ("tool", "args", *(root for root in FACTS if root != "tool")), "given"):
            return
        called = self._text(node.get("tool"), "tool")
        if not self._tools:
            return
        tool = next((tool for tool in self._tools if tool.name == called), None)
        if tool is None:
            names = [tool.name for tool in self._tools]
            self.complain(node, f"there is no tool '{called}'{nearest(called, names)}")
            return
        for key, value in node.entries:
            known = tool.argument_names if key.text == "args" else tuple(FACTS.get(key.text, ()))
            if key.text != "tool":
                self._keys(value, known, f"given.{key.text} of {called}")
