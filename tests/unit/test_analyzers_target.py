"""What a sentence is about, and quantities of memory."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bot.analyzers import target_from_text
from bot.analyzers.quantities import format_memory, parse_memory, raised
from domain.actions import Target


def known(namespace: str, name: str, kind: str = "Deployment", environment: str = "staging") -> Target:
    return Target("kubernetes", environment, namespace, kind, name)


def spelled(namespace: str, kind: str, name: str) -> Target:
    return Target("kubernetes", namespace=namespace, kind=kind, name=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("why is checkout in shop crashing", spelled("shop", "Deployment", "checkout")),
        ("Why is Checkout in the shop namespace crashing?", spelled("shop", "Deployment", "checkout")),
        ("what is wrong with shop/checkout?", spelled("shop", "Deployment", "checkout")),
        ("diagnose deployment/checkout in shop", spelled("shop", "Deployment", "checkout")),
        ("look at statefulset db in namespace data", spelled("data", "StatefulSet", "db")),
        ("svc/checkout -n shop has no endpoints", spelled("shop", "Service", "checkout")),
        ("`checkout` in `shop` is slow", spelled("shop", "Deployment", "checkout")),
        ("pod checkout-7d9f8b6c5-x2x4z in shop restarts", spelled("shop", "Pod", "checkout-7d9f8b6c5-x2x4z")),
        ("why is ingress web in shop broken", spelled("shop", "Ingress", "web")),
        ("pvc/data in namespace shop is pending", spelled("shop", "PersistentVolumeClaim", "data")),
        ("does hpa checkout in shop scale", spelled("shop", "HorizontalPodAutoscaler", "checkout")),
        ("pdb/checkout -n shop", spelled("shop", "PodDisruptionBudget", "checkout")),
        ("quota/team in namespace shop", spelled("shop", "ResourceQuota", "team")),
        ("certificate web-tls in shop", spelled("shop", "Certificate", "web-tls")),
        ("pv/pvc-1f2e3d is failed", Target("kubernetes", kind="PersistentVolume", name="pvc-1f2e3d")),
        ("is node worker-3 ok?", Target("kubernetes", kind="Node", name="worker-3")),
        ("job nightly-report in namespace batch failed", spelled("batch", "Job", "nightly-report")),
        ("what is going on in namespace shop", spelled("shop", "", "")),
        ("is everything in production down", Target()),
        ("why is it in trouble", Target()),
        ("hello", Target()),
        ("", Target()),
        ("https://example.com/a/b", Target()),
        ("deployment/checkout", Target()),
    ],
)
def test_a_sentence_names_its_target(text: str, expected: Target) -> None:
    assert target_from_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("why is checkout crashing", known("shop", "checkout")),
        ("cart-redis keeps restarting", known("shop", "cart-redis")),
        ("cart keeps restarting", known("shop", "cart")),
        ("web in blue is slow", known("blue", "web")),
        ("web is slow", Target()),
        ("checkout is in trouble", known("shop", "checkout")),
        ("svc/checkout has no endpoints", known("shop", "checkout", "Service")),
        ("deployment/checkout is slow", known("shop", "checkout")),
        ("statefulset db in data", Target()),
        ("statefulset db in namespace data", spelled("data", "StatefulSet", "db")),
        ("checkout in green", spelled("green", "Deployment", "checkout")),
        ("checkout in namespace staging", spelled("staging", "Deployment", "checkout")),
        ("staging/checkout", spelled("staging", "Deployment", "checkout")),
    ],
)
def test_a_known_name_needs_no_namespace_unless_it_is_known_twice(text: str, expected: Target) -> None:
    targets = [
        known("shop", "checkout"),
        known("shop", "cart"),
        known("shop", "cart-redis"),
        known("blue", "web"),
        known("green", "web"),
    ]
    assert target_from_text(text, targets) == expected


@pytest.mark.parametrize(
    ("text", "group", "name"),
    [
        ("https://gitlab.example.com/shop/checkout/-/pipelines/42 fails", "shop", "checkout"),
        ("<https://gitlab.example.com/eu/shop/checkout/-/jobs/7|the job>", "eu/shop", "checkout"),
        ("why does gitlab shop/checkout fail?", "shop", "checkout"),
        ("GitLab project `eu/shop/Check.Out`", "eu/shop", "Check.Out"),
    ],
)
def test_a_project_of_gitlab_is_named_by_its_link_or_its_path(text: str, group: str, name: str) -> None:
    assert target_from_text(text) == Target("gitlab", namespace=group, kind="GitLabProject", name=name)


def test_what_only_mentions_gitlab_names_no_project() -> None:
    assert target_from_text("is gitlab down") == Target()
    assert target_from_text("https://gitlab.example.com/shop") == Target()


@given(st.text(max_size=200))
def test_any_text_gives_some_target(text: str) -> None:
    target = target_from_text(text)
    assert target.kind in {"", "Deployment", "StatefulSet", "DaemonSet", "Pod", "Service", "Node", "Job", "CronJob"}


@pytest.mark.parametrize(
    ("quantity", "size"),
    [
        ("256Mi", 256 * 2**20),
        ("1Gi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("128974848", 128974848),
        ("129e6", 129_000_000),
        ("129M", 129_000_000),
        ("100k", 100_000),
    ],
)
def test_a_quantity_of_memory_is_bytes(quantity: str, size: int) -> None:
    assert parse_memory(quantity) == size


@pytest.mark.parametrize("quantity", ["", "0", "lots", "-1Mi", "1Xi", "100m", "9" * 30, "1e99", "1Mi\n1Mi"])
def test_what_is_no_quantity_of_memory_is_none(quantity: str) -> None:
    assert parse_memory(quantity) is None


@pytest.mark.parametrize(
    ("limit", "next_limit"),
    [
        ("20Mi", "32Mi"),
        ("64Mi", "128Mi"),
        ("128Mi", "192Mi"),
        ("256Mi", "384Mi"),
        ("512Mi", "768Mi"),
        ("1Gi", "1536Mi"),
        ("2Gi", "3Gi"),
        ("8Gi", "12Gi"),
        ("1G", "1536Mi"),
    ],
)
def test_a_raised_limit_is_a_round_figure(limit: str, next_limit: str) -> None:
    assert format_memory(raised(parse_memory(limit) or 0)) == next_limit


@given(st.integers(2**20, 2**45))
def test_a_raised_limit_is_at_least_half_as_much_again_and_not_absurd(limit: int) -> None:
    new = raised(limit)
    assert new * 2 >= limit * 3
    assert new <= max(limit * 3, 32 * 2**20)
    assert parse_memory(format_memory(new)) == new
