"""A model's sentences held against what was stored: what stands nowhere is found out by code, and never raises confidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.models.claims import claims_of, lowered
from bot.models.conclusion import concluded
from domain.actions import Mode, Target
from domain.alerts import Alert, Severity
from domain.canonical import canonical
from domain.diagnosis import Claim, Confidence
from domain.runs import Call, Origin, Run, RunSpec, ToolCall, ToolResult

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
STORED = {
    "E1": 'level=fatal msg="relation tax_regions does not exist" exit=1',
    "E2": "revision 4 image registry.acme.dev/shop/checkout:2.5.0 pods checkout-6f7c9d4b8d-x2x4q restarts 7",
    "E3": "memory limit 256Mi, last state OOMKilled exit code 137",
}


def run(**stored: str) -> Run:
    alert = Alert(
        "a", True, "KubePodCrashLooping", "alertmanager", AT, Severity.CRITICAL, labels={"deployment": "checkout"}
    )
    target = Target("kubernetes", "production", "shop", "Deployment", "checkout")
    spec = RunSpec("run-1", "inc-1", Origin.ALERT, "m", Mode.PROPOSE, target, alert=alert)
    calls = {
        name: Call(
            ToolCall(name, "look", "{}"), 1, result=ToolResult(name, "look", ok=True, text=text, evidence_id=name)
        )
        for name, text in (stored or STORED).items()
    }
    return Run(spec, AT, calls=calls)


def only(text: str, *cited: str) -> Claim:
    [claim] = claims_of(text, run(), cited)
    return claim


def test_a_sentence_that_cites_what_shows_it_is_supported() -> None:
    claim = only('The log says "relation tax_regions does not exist" (E1).')
    assert (claim.text, claim.evidence, claim.supported) == (
        'The log says "relation tax_regions does not exist".', ("E1",), True,
    )  # fmt: skip


def test_a_sentence_without_evidence_is_not_supported_and_what_the_whole_conclusion_cites_counts() -> None:
    assert not only("The disk is old.").supported
    assert only("The disk is old.", "E1").supported
    assert not only("The disk is old.", "E9").supported, "E9 was never stored"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Image 2.5.0 needs `tax_regions` (E1, E2).", ()),
        ("Image 2.6.1 needs `tax_regions` (E1, E2).", ("2.6.1",)),
        ("Pod checkout-6f7c9d4b8d-x2x4q restarted (E2).", ()),
        ("Pod checkout-6f7c9d4b8d-zzzzz restarted (E2).", ("checkout-6f7c9d4b8d-zzzzz",)),
        ("It was killed with exit code 137 at 256Mi (E3).", ()),
        ("It was killed with exit code 139 at 512Mi (E3).", ("139", "512Mi")),
        ('It says "connection refused" (E1).', ("connection refused",)),
        ("The first 3 pods of checkout failed at 03:12 on 2026-03-10 (E2).", ()),
    ],
)
def test_names_and_values_that_stand_in_no_result_are_found(text: str, missing: tuple[str, ...]) -> None:
    assert only(text).missing == missing


def test_a_value_that_another_result_shows_is_attributed_to_it() -> None:
    assert only("Image 2.5.0 was killed at 256Mi (E3).").evidence == ("E3", "E2")


def test_what_the_alert_says_needs_no_other_result() -> None:
    assert only('The alert "KubePodCrashLooping" is about checkout (E1).').missing == ()


def test_sentences_are_told_apart_and_versions_are_not_torn() -> None:
    text = "Version 2.5.0 needs a migration (E2). It did not run [E1]! Nobody knows why?\nFrost."
    assert [claim.text for claim in claims_of(text, run(), ())] == [
        "Version 2.5.0 needs a migration.", "It did not run!", "Nobody knows why?", "Frost.",
    ]  # fmt: skip


def test_confidence_is_lowered_by_inventions_and_by_what_nothing_carries() -> None:
    good, bad, bare = Claim("a", ("E1",)), Claim("b", ("E1",), ("x9",)), Claim("c")
    assert lowered(Confidence.PROVEN, (good, good)) is Confidence.PROVEN
    assert lowered(Confidence.PROVEN, (good, good, bad)) is Confidence.LIKELY
    assert lowered(Confidence.PROVEN, (good, bare, bare)) is Confidence.NOT_PROVEN
    assert lowered(Confidence.LIKELY, ()) is Confidence.LIKELY


ORDER = (Confidence.NOT_PROVEN, Confidence.LIKELY, Confidence.PROVEN)


@given(
    st.sampled_from(Confidence),
    st.lists(st.builds(Claim, st.just("x"), st.sampled_from([(), ("E1",)]), st.sampled_from([(), ("y",)])), max_size=6),
)
def test_claims_never_raise_confidence(confidence: Confidence, claims: list[Claim]) -> None:
    assert ORDER.index(lowered(confidence, claims)) <= ORDER.index(confidence)


@given(st.text(max_size=300), st.lists(st.sampled_from(["E1", "E2", "E7"]), max_size=3))
def test_any_text_is_claims_that_cite_only_what_was_stored(text: str, cited: list[str]) -> None:
    for claim in claims_of(text, run(), cited):
        assert set(claim.evidence) <= set(STORED)
        assert canonical([claim.text, list(claim.missing)])


def conclusion(**said: Any) -> Any:
    body = {"summary": "It crashes.", "cause": "x", "confidence": "proven", "evidence": ["E1"]} | said
    return concluded(canonical(body).decode(), "", "m", run())


def test_a_proven_cause_with_an_invented_version_is_only_likely_and_shown_with_what_is_missing() -> None:
    cause = "Version 2.5.0 expects tax_regions (E1, E2). The migration is missing (E1). It came with 9.9.9 (E2)."
    found = conclusion(cause=cause)
    assert found.confidence is Confidence.LIKELY
    assert [claim.missing for claim in found.claims] == [(), (), ("9.9.9",)]
    assert [item.id for item in found.evidence] == ["E1", "E2"]


def test_hypotheses_are_ranked_by_what_speaks_for_and_against_them() -> None:
    found = conclusion(
        hypotheses=[
            {"text": "frost", "contradicting": ["E1"]},
            {"text": "nothing known"},
            {"text": "memory", "supporting": ["E3", "E2", "E99"], "next_check": "look at the limit"},
        ]
    )
    assert [one.text for one in found.hypotheses] == ["memory", "nothing known", "frost"]
    assert found.hypotheses[0].supporting == ("E3", "E2"), "evidence that was never stored is dropped"
