"""Loading a policy: every problem at once, each with file, line and the nearest name, and nothing but PolicyError."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from domain.decisions import Outcome
from domain.errors import PolicyError
from policies.calendars import calendar_facts
from policies.gate import decide
from policies.policy import load
from tests.unit.policy_samples import DEFAULT, TOOLS, facts, policy, shipped, text

DENY_READS = "{id: r, decision: deny, match: {effects: [read]}"
READS = "  - {id: reads, decision: allow, match: {effects: [read]}}"


def problems(rules: str, extra: str = "") -> str:
    with pytest.raises(PolicyError) as caught:
        policy(rules, extra)
    return "\n".join(caught.value.problems)


def refused(content: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load({"p.yaml": content}, TOOLS, {})
    return "\n".join(caught.value.problems)


# --- the shipped policy -----------------------------------------------------------------------------------------------


def test_the_shipped_policy_loads_with_its_tests_and_invariants() -> None:
    of = shipped()
    assert len(of.rules) >= 10
    assert len(of.invariants) == 2
    assert all(rule.tests for rule in of.rules), "every shipped rule has a test"
    assert all(rule.then.reason for rule in of.rules), "every shipped rule says why"


def test_the_shipped_policy_without_approvers_loads_and_lets_nobody_approve() -> None:
    of = shipped(approvers=())
    decision = decide(of, facts("kubernetes_rollback"))
    assert decision.outcome is Outcome.ASK
    assert "Nobody can approve" in decision.warnings[0]


def test_a_shipped_rule_that_is_loosened_breaks_an_invariant() -> None:
    loosened = (
        (DEFAULT / "policy.yaml").read_text().replace("decision: ask\n    match: {effects: [destructive]}", "LOOSE")
    )
    loosened = loosened.replace("LOOSE", "decision: allow\n    match: {effects: [destructive]}")
    loosened = loosened.replace(
        "    approval: {groups: [approvers], quorum: 1, expires: 15m, reason: always}\n    reason: This",
        "    reason: This",
    )
    message = refused(loosened)
    assert (
        "the invariant 'nothing is destroyed without a person, anywhere' is broken by the rule destroy at p.yaml:"
        in message
    )
    assert "test 'deleting a pod asks in staging too' fails: decision is 'deny', expected 'ask'" in message


def test_without_any_tools_the_shipped_policy_loads_and_allows_nothing() -> None:
    of = load({"p.yaml": (DEFAULT / "policy.yaml").read_text()}, (), {})
    assert decide(of, facts("kubernetes_get")).rule == "builtin:unknown-tool"


# --- problems ---------------------------------------------------------------------------------------------------------


def test_every_problem_is_reported_at_once_with_file_line_rule_and_suggestion() -> None:
    found = problems(
        "  - {id: one, decision: alow, match: {effects: [read]}}\n"
        "  - {id: two, decision: ask, match: {tools: [kubernetes_scael]}, aproval: {}}\n"
        "  - {id: two, decision: ask, match: {effects: [write]}, approval: {groups: [aprovers], expires: soon}}\n"
        "  - {id: six, decision: deny, match: {tools: [kubernetes_scale]}, when: args.replicsa > 3}\n"
    ).splitlines()
    assert found == [
        "p.yaml:3: rule one: decision is one of deny, ask, allow, not 'alow'; did you mean 'allow'?",
        "p.yaml:4: rule two: 'aproval' is not a key of a rule; did you mean 'approval'?",
        "p.yaml:4: rule two: tools: 'kubernetes_scael' matches nothing known; did you mean 'kubernetes_scale'?",
        "p.yaml:4: rule two: no tool has both this name and this effect",
        "p.yaml:5: rule two: this id is taken by the rule at p.yaml:4",
        "p.yaml:5: rule two: expires is a duration from 1m to 7d such as 30m or 2h, not 'soon'",
        "p.yaml:5: rule two: there is no group 'aprovers'; did you mean 'approvers'?",
        "p.yaml:6: rule six: when, column 5: undefined field 'replicsa' in args; did you mean 'replicas'?",
    ]


def test_a_condition_over_many_lines_names_its_own_line() -> None:
    found = problems(
        "  - id: r\n    decision: deny\n    match: {effects: [write]}\n    when: |\n      true &&\n      run.taint\n"
    )
    assert found.startswith("p.yaml:8: rule r: when, column 4: undefined field 'taint' in run; did you mean 'tainted'?")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("{decision: deny, match: {effects: [read]}}", "rule (without id): a rule needs an id"),
        ("{id: A B, decision: deny, match: {effects: [read]}}", "a rule needs an id of lower-case letters"),
        ("{id: r, match: {effects: [read]}}", "'decision' is missing"),
        ("{id: r, decision: deny}", "'match' is missing: what the rule is about"),
        ("{id: r, decision: deny, match: {}}", "'match' is empty: write tools: ['*'] to mean every tool"),
        ("{id: r, decision: deny, match: {tools: []}}", "tools is empty"),
        ("{id: r, decision: deny, match: {efects: [read]}}", "'efects' is not a key of match; did you mean 'effects'?"),
        (
            "{id: r, decision: deny, match: {effects: [raed]}}",
            "effects: 'raed' matches nothing known; did you mean 'read'?",
        ),
        ("{id: r, decision: deny, match: {origins: [slack]}}", "origins: 'slack' matches nothing known"),
        ("{id: r, decision: deny, match: {namespaces: ['[a']}}", "'[a' is no pattern"),
        (
            "{id: r, decision: deny, match: {effects: [read]}, mode: off}",
            "mode is one of enforce, warn, shadow, not 'off'",
        ),
        (
            "{id: r, decision: deny, match: {effects: [read]}, expires_on: soon}",
            "a date is written as 2026-12-31, not 'soon'",
        ),
        ("{id: r, decision: deny, match: {effects: [read]}, approval: {}}", "'approval' belongs to a rule that asks"),
        ("{id: r, decision: deny, match: {effects: [read]}, else: {decision: ask}}", "'else' needs a 'when'"),
        (
            "{id: r, decision: ask, match: {effects: [read]}, approval: {quorum: 0}}",
            "quorum is a whole number from 1 to 20",
        ),
        ("{id: r, decision: ask, match: {effects: [read]}, approval: {expires: 30s}}", "expires is a duration from 1m"),
        (
            "{id: r, decision: ask, match: {effects: [read]}, approval: {reason: maybe}}",
            "reason is one of never, on_deny",
        ),
        (
            "{id: r, decision: ask, match: {effects: [read]}, approval: {exclude: [leads, me]}}",
            "names requester or a group, not 'me'",
        ),
        ("{id: r, decision: ask, match: {effects: [read]}, approval: {escalate_after: 10m}}", "needs 'escalate_to'"),
        ("{id: r, decision: deny, match: {effects: [read]}, tests: [{name: t}]}", "a test needs given"),
        (
            DENY_READS + ", tests: [{name: t, given: {tool: kubernetes_gett}, expect: {decision: deny}}]}",
            "there is no tool 'kubernetes_gett'; did you mean 'kubernetes_get'?",
        ),
        (
            DENY_READS
            + ", tests: [{name: t, given: {tool: kubernetes_get, args: {nmae: x}}, expect: {decision: deny}}]}",
            "'nmae' is not a key of given.args of kubernetes_get; did you mean 'name'?",
        ),
        (
            DENY_READS + ", tests: [{name: t, given: {tool: kubernetes_get}, expect: {decision: allow}}]}",
            "test 't' fails: decision is 'deny', expected 'allow'",
        ),
        (
            DENY_READS + ", tests: [{name: t, given: {tool: kubernetes_get}, expect: {decision: deny, rule: rr}}]}",
            "expects the rule 'rr', which does not exist",
        ),
        ("hello", "expected a rule with keys"),
    ],
)
def test_each_mistake_in_a_rule_has_its_sentence(rule: str, sentence: str) -> None:
    assert sentence in problems(f"  - {rule}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the policy has no rule"),
        ("rulez: []", "'rulez' is not a key of a section of a policy file; did you mean 'rules'?"),
        ("a: b: c", "p.yaml:1: not YAML"),
        ("rules: &x []\ngroups: *x", "anchors and aliases are not supported"),
        ("rules: !!python/object:os.system []", "tags are not supported"),
        ("rules: []\nrules: []", "p.yaml:2: the key 'rules' stands here twice, first in line 1"),
        ("rules: []\n---\nrules: []", "a second document in one file"),
        ("[" * 100_000, "nested deeper than 20 levels"),
        ("rules:\n" + "- x\n" * 20_001, "more than 20000 values"),
        ("# " + "x" * 300_000, "larger than 256 KiB"),
        ("rules: \x00", "not YAML"),
        ("groups: {a: $AGENT_APROVERS}", "there is no variable $AGENT_APROVERS; did you mean 'AGENT_APPROVERS'?"),
        ("groups: {a: somebody}", "'somebody' is no @user-group, e-mail address, user id or $VARIABLE"),
        ("calendars: {business: {time_zone: Europe/Berln, hours: 09:00-17:00}}", "did you mean 'Europe/Berlin'?"),
        ("calendars: {business: {hours: 9-17}}", "hours are written as 09:00-17:30"),
        ("calendars: {business: {hours: 22:00-06:00}}", "hours end before they begin"),
        ("freezes: [{name: x, from: 2026-12-19, until: 2026-12-01}]", "the freeze ends before it begins"),
        ("freezes: [{name: x, from: yesterday, until: 2026-12-01}]", "'from' is a moment"),
        ("forbid_changes: [{match: {effects: [read]}}]", "an invariant needs a name"),
    ],
)
def test_each_mistake_in_a_file_has_its_sentence(content: str, sentence: str) -> None:
    assert sentence in refused(content)


def test_an_environment_that_was_not_declared_is_a_typo() -> None:
    rule = "  - {id: r, decision: deny, match: {environments: [prodution]}}"
    assert policy(rule)
    found = problems(rule, "environments: [production, staging]")
    assert "environments: 'prodution' matches nothing known; did you mean 'production'?" in found


def test_an_invariant_that_generated_calls_break_is_refused_with_both_places() -> None:
    found = problems(
        READS + "\n  - {id: wide, decision: allow, match: {namespaces: [web-*]}}",
        "forbid_changes:\n  - {name: no free deletes, match: {effects: [destructive]}, never: allow}",
    )
    assert found.startswith(
        "p.yaml:6: the invariant 'no free deletes' is broken by the rule wide at p.yaml:4, which says allow"
    )


# --- what a policy is -------------------------------------------------------------------------------------------------


def test_files_are_one_bundle_and_ids_are_unique_across_them() -> None:
    one, two = (
        text(READS),
        "rules:\n  - {id: more, decision: ask, match: {effects: [write]}, approval: {groups: [leads]}}",
    )
    of = load({"b.yaml": two, "a.yaml": one}, TOOLS, {})
    assert [(rule.id, rule.file, rule.line) for rule in of.rules] == [("reads", "a.yaml", 3), ("more", "b.yaml", 2)]
    with pytest.raises(PolicyError, match=r"b.yaml:3: rule reads: this id is taken by the rule at a.yaml:3"):
        load({"a.yaml": one, "b.yaml": f"rules:\n\n{READS}"}, TOOLS, {})


def test_the_hash_covers_all_that_decides_and_nothing_else() -> None:
    plain = policy(READS).hash
    assert policy(f"  # a comment\n{READS}").hash == plain
    assert (
        policy(
            READS[:-1] + ", owner: me, tests: [{name: t, given: {tool: kubernetes_get}, expect: {decision: allow}}]}"
        ).hash
        == plain
    )
    for other in (
        READS.replace("allow", "ask"),
        READS.replace("reads", "other"),
        READS.replace("[read]", "[read, write]"),
        READS[:-1] + ", when: run.tainted}",
        READS[:-1] + ", mode: shadow}",
        READS[:-1] + ", reason: x}",
        READS[:-1] + ", expires_on: 2030-01-01}",
    ):
        assert policy(other).hash != plain
    assert policy(READS, approvers=("@others",)).hash != plain
    assert policy(READS, "freezes: [{name: x, from: 2026-12-19, until: 2026-12-31}]").hash != plain


def test_groups_mix_handles_people_and_variables() -> None:
    content = 'groups: {a: ["@sre", ana@example.com, U012ABCDEF, $AGENT_APPROVERS]}\nrules:\n' + READS
    of = load({"p": content}, TOOLS, {"AGENT_APPROVERS": ("@sre", "bob@example.com")})
    assert of.groups["a"] == ("@sre", "ana@example.com", "U012ABCDEF", "bob@example.com")


def test_a_rule_of_an_empty_group_stays_in_force_and_nobody_can_approve() -> None:
    of = policy("  - {id: r, decision: ask, match: {effects: [write]}, approval: {groups: [approvers]}}", approvers=())
    assert decide(of, facts("kubernetes_restart", of=of)).warnings


def test_a_rule_expects_the_whole_format_of_approval() -> None:
    of = policy(
        "  - id: r\n    decision: ask\n    match: {effects: [write]}\n    owner: platform\n"
        "    approval: {groups: [approvers, leads], quorum: 2, expires: 2h, exclude: [requester], deny_quorum: 2,\n"
        "      reason: always, escalate_to: leads, escalate_after: 1h, window: nights}\n",
        "calendars: {nights: {hours: 22:00-24:00}}",
    )
    terms = of.rules[0].then.terms
    assert terms is not None
    assert (terms.groups, terms.quorum, terms.expires_s, terms.deny_quorum) == (("approvers", "leads"), 2, 7200, 2)
    assert (terms.reason, terms.escalate_to, terms.escalate_after_s) == ("always", ("leads",), 3600)
    assert terms.window == ("nights",)
    assert of.rules[0].owner == "platform"


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ('tool.name == "kubernetes_scael"', "column 15: tool.name is never 'kubernetes_scael'; did you mean"),
        ('!("kubernetes_scael" != tool.name)', "tool.name is never 'kubernetes_scael'"),
        ("tool.name in ['kubernetes_scale', 'kubernetes_cordn']", "tool.name is never 'kubernetes_cordn'; did you mean"),
        ('tool.effect == "destroy"', "tool.effect is never 'destroy'"),
        ('"laeds" in requester.groups', "requester.groups is never 'laeds'; did you mean 'leads'?"),
        ('run.origin == "slack"', "run.origin is never 'slack'"),
        ('run.mode == "acting"', "run.mode is never 'acting'"),
        ('"weekend" in calendar.open', "calendar.open is never 'weekend'; did you mean 'weekends'?"),
        ('target.environment == "prodution"', "target.environment is never 'prodution'; did you mean 'production'?"),
        ('|\n      run.tainted &&\n      run.mode == "x"', "p.yaml:8: rule r: when, column 14: run.mode is never 'x'"),
    ],
)  # fmt: skip
def test_a_word_in_a_condition_that_names_nothing_is_a_typo(when: str, sentence: str) -> None:
    quoted = when if when.startswith("|") else json.dumps(when)
    extra = "environments: [staging]\ncalendars: {weekends: {hours: 00:00-24:00, days: [sat, sun]}}"
    rule = f"  - id: r\n    decision: deny\n    match: {{tools: ['*']}}\n    when: {quoted}"
    assert sentence in problems(rule, extra)


def test_words_that_name_something_and_words_compared_with_other_facts_are_fine() -> None:
    conditions = (
        'tool.name == "kubernetes_scale" && "leads" in requester.groups && target.environment in ["production"]',
        'target.name == "kubernetes_scael" || "laeds" == target.owner || run.mode != "act"',
    )
    for when in conditions:
        assert policy(f"  - {{id: r, decision: deny, match: {{tools: ['*']}}, when: {json.dumps(when)}}}").rules


def test_a_window_names_a_calendar() -> None:
    rule = "  - {id: r, decision: ask, match: {effects: [write]}, approval: {window: nigths}}"
    calendars = "calendars: {nights: {hours: 22:00-24:00}}"
    assert "there is no calendar 'nigths'; did you mean 'nights'?" in problems(rule, calendars)


def test_of_several_asking_rules_every_window_holds() -> None:
    of = policy(
        "  - {id: a, decision: ask, match: {effects: [write]}, approval: {window: nights}}\n"
        "  - {id: b, decision: ask, match: {effects: [write]}, approval: {window: weekends, quorum: 2}}\n",
        "calendars: {nights: {hours: 22:00-24:00}, weekends: {hours: 00:00-24:00, days: [sat, sun]}}",
    )
    terms = decide(of, facts("kubernetes_restart", of=of)).terms
    assert terms is not None
    assert set(terms.window) == {"nights", "weekends"}


# --- calendars --------------------------------------------------------------------------------------------------------


def test_calendars_open_in_their_own_time_zone_and_close_on_holidays() -> None:
    of = policy(
        READS,
        "calendars:\n  business: {time_zone: Europe/Berlin, days: [mon, tue, wed, thu, fri], hours: 09:00-17:00,"
        " closed_on: [2026-12-25]}\n  nights: {hours: 22:00-24:00, days: [sun]}\n",
    )

    def at(*moment: int) -> dict[str, object]:
        return calendar_facts(of.calendars, of.freezes, datetime(*moment, tzinfo=UTC), "production")  # type: ignore[arg-type,misc]

    assert at(2026, 11, 25, 8, 0)["business"] is True  # 09:00 in Berlin
    assert at(2026, 11, 25, 7, 59)["business"] is False
    assert at(2026, 11, 25, 16, 0)["business"] is False  # 17:00 is closed
    assert at(2026, 7, 1, 7, 0)["business"] is True  # summer time
    assert at(2026, 11, 28, 10, 0)["business"] is False  # Saturday
    assert at(2026, 12, 25, 10, 0)["business"] is False  # holiday
    assert at(2026, 11, 29, 23, 30)["open"] == ["nights"]
    late = at(2026, 11, 25, 23, 30)
    assert (late["date"], late["hour"], late["weekday"]) == ("2026-11-26", 0, 4)


def test_a_freeze_holds_for_its_environments_from_begin_to_end() -> None:
    of = policy(
        READS,
        "freezes:\n  - {name: year end, from: 2026-12-19T18:00, until: 2027-01-04T08:00, time_zone: Europe/Berlin,"
        " environments: [prod*]}\n",
    )

    def frozen(environment: str, *moment: int) -> object:
        return calendar_facts({}, of.freezes, datetime(*moment, tzinfo=UTC), environment)["freezes"]  # type: ignore[arg-type,misc]

    assert frozen("production", 2026, 12, 19, 16, 59) == []
    assert frozen("production", 2026, 12, 19, 17, 0) == ["year end"]
    assert frozen("production", 2027, 1, 4, 7, 0) == []
    assert frozen("staging", 2026, 12, 24, 12, 0) == []


def test_without_a_business_calendar_the_fact_is_missing_and_conditions_on_it_fail_closed() -> None:
    assert "business" not in calendar_facts({}, (), datetime(2026, 11, 25, tzinfo=UTC), "production")


# --- any text ---------------------------------------------------------------------------------------------------------

_SHIPPED_TEXT = (DEFAULT / "policy.yaml").read_text()


def loads_or_refuses(content: str) -> None:
    with contextlib.suppress(PolicyError):
        load({"p.yaml": content}, TOOLS, {})


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_no_text_makes_the_loader_raise_anything_but_policy_error(content: str) -> None:
    loads_or_refuses(content)


_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "deny", "ask", "[a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "tools", "groups", "x", "given"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = ["id", "decision", "match", "when", "else", "approval", "reason", "mode", "owner", "expires_on", "tests"]


@settings(max_examples=120, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["groups", "environments", "calendars", "freezes", "forbid_changes"]), _VALUE, max_size=3
    ),
    st.lists(st.dictionaries(st.sampled_from(_KEYS), _VALUE, max_size=8) | _VALUE, max_size=3),
)
def test_no_structure_makes_the_loader_raise_anything_but_policy_error(
    sections: dict[str, object], rules: list[object]
) -> None:
    loads_or_refuses(yaml.safe_dump({**sections, "rules": rules}))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(_SHIPPED_TEXT) - 1), st.integers(1, 60), st.text(max_size=6))
def test_a_damaged_copy_of_the_shipped_policy_loads_or_is_refused(begin: int, length: int, instead: str) -> None:
    loads_or_refuses(_SHIPPED_TEXT[:begin] + instead + _SHIPPED_TEXT[begin + length :])
