"""Which alerts are one problem: fingerprints, the thing that labels name, and what joins an open incident."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from domain.actions import Target
from domain.alerts import Alert, Incident, Severity, correlate, fingerprint, same_target, target_of
from tests.contracts.journal_samples import CART, NOON

LABELS = st.dictionaries(st.text(max_size=5), st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=5)
NAMES = st.sampled_from(["", "shop", "cart", "web"])
TARGETS = st.builds(
    Target,
    st.sampled_from(["", "kubernetes"]),
    st.sampled_from(["production", "staging"]),
    NAMES,
    st.sampled_from(["", "Deployment", "Pod", "Node", "Service"]),
    NAMES,
)


def alert(fingerprint: str = "f1", target: Target = CART, group: str = "g1") -> Alert:
    return Alert(fingerprint, True, "CartDown", "alertmanager", NOON, group=group, target=target)


def incident(name: str = "i1", target: Target = CART, group: str = "g1", *fingerprints: str) -> Incident:
    return Incident(name, "local", "t", Severity.WARNING, target, group, NOON, fingerprints=fingerprints)


ALERTS = st.builds(alert, st.sampled_from(["f1", "f2", "f3"]), TARGETS, st.sampled_from(["", "g1", "g2"]))
INCIDENTS = st.lists(
    st.builds(
        lambda name, target, group, known: incident(name, target, group, *known),
        st.uuids().map(str),
        TARGETS,
        st.sampled_from(["", "g1", "g2"]),
        st.sets(st.sampled_from(["f1", "f2", "f3"])),
    ),
    max_size=5,
)

# --- fingerprints -----------------------------------------------------------------------------------------------------


@given(LABELS)
def test_a_fingerprint_is_of_the_labels_and_not_of_their_order(labels: dict[str, str]) -> None:
    assert fingerprint(dict(reversed(labels.items()))) == fingerprint(labels)
    assert len(fingerprint(labels)) == 16
    assert int(fingerprint(labels), 16) >= 0


@given(LABELS, LABELS)
def test_other_labels_have_another_fingerprint(one: dict[str, str], other: dict[str, str]) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_a_number_as_a_label_is_its_text() -> None:
    assert fingerprint({"port": 8080, "load": 0.5}) == fingerprint({"port": "8080", "load": "0.5"})


# --- the thing an alert is about --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "kind", "name"),
    [
        ({"deployment": "cart", "pod": "web-1"}, "Deployment", "cart"),
        ({"statefulset": "db"}, "StatefulSet", "db"),
        ({"daemonset": "agent"}, "DaemonSet", "agent"),
        ({"cronjob": "nightly"}, "CronJob", "nightly"),
        ({"job_name": "migrate"}, "Job", "migrate"),
        ({"job": "kube-state-metrics", "service": "cart"}, "Service", "cart"),  # Prometheus' job is a scrape job
        ({"pod": "checkout-fdmhblbfjh-cm98p"}, "Deployment", "checkout"),
        ({"pod": "cart-api-7d4b9c6f5-x2v8q"}, "Deployment", "cart-api"),
        ({"pod": "db-0"}, "Pod", "db-0"),
        ({"pod": "cart-7d4b9c6f5-aeiou"}, "Pod", "cart-7d4b9c6f5-aeiou"),  # no such suffix is ever generated
        ({"app": "cart"}, "Service", "cart"),
        ({"horizontalpodautoscaler": "cart", "pod": "kube-state-metrics-0"}, "HorizontalPodAutoscaler", "cart"),
        ({"poddisruptionbudget": "cart"}, "PodDisruptionBudget", "cart"),
        ({"persistentvolumeclaim": "data", "node": "node-a"}, "PersistentVolumeClaim", "data"),
        ({"resourcequota": "team", "resource": "pods"}, "ResourceQuota", "team"),
        ({"ingress": "web", "service": "ingress-nginx"}, "Ingress", "web"),
        ({"networkpolicy": "deny"}, "NetworkPolicy", "deny"),
        ({"httproute": "web", "gateway": ""}, "HTTPRoute", "web"),
        ({"name": "web-tls", "issuer_name": "letsencrypt"}, "Certificate", "web-tls"),
        ({"deployment": "cart", "configmap": "settings"}, "Deployment", "cart"),
        ({"pod": "", "service": "cart"}, "Service", "cart"),
        ({}, "", ""),
    ],
)
def test_labels_name_a_workload_first_and_then_what_is_behind_it(labels: dict[str, str], kind: str, name: str) -> None:
    target = target_of({"namespace": "shop", **labels}, "staging")
    assert target == Target("kubernetes", "staging", "shop", kind, name)


def test_a_node_is_in_no_namespace() -> None:
    assert target_of({"node": "node-a", "namespace": "monitoring"}, "production") == Target(
        "kubernetes", "production", "", "Node", "node-a"
    )


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("persistentvolume", "PersistentVolume"),
        ("validatingwebhookconfiguration", "ValidatingWebhookConfiguration"),
        ("mutatingwebhookconfiguration", "MutatingWebhookConfiguration"),
    ],
)
def test_what_belongs_to_the_cluster_is_in_no_namespace(label: str, kind: str) -> None:
    target = target_of({label: "x", "namespace": "monitoring", "pod": "kube-state-metrics-0"}, "production")
    assert target == Target("kubernetes", "production", "", kind, "x")


def test_exported_namespace_counts_where_there_is_no_other() -> None:
    assert target_of({"exported_namespace": "shop"}, "production").namespace == "shop"
    assert target_of({"exported_namespace": "shop", "namespace": "web"}, "production").namespace == "web"


def test_labels_that_name_nothing_make_no_target() -> None:
    assert target_of({"instance": "10.0.0.1:9100", "service": "cart"}, "production") == Target("")


@given(LABELS, st.sampled_from(["production", "staging"]))
def test_the_environment_is_never_taken_from_labels(labels: dict[str, str], environment: str) -> None:
    assert target_of({**labels, "environment": "dev", "env": "dev"}, environment).environment == environment


# --- what joins what --------------------------------------------------------------------------------------------------


def test_the_same_alert_joins_its_incident_whatever_else_it_says() -> None:
    mine = incident("i2", Target("", namespace="elsewhere"), "another group", "f1")
    assert correlate(alert("f1"), [incident("i1"), mine]) is mine


def test_one_group_and_one_target_is_one_problem() -> None:
    assert correlate(alert("f2"), [incident("i1", CART, "g1", "f1")]) is not None


@pytest.mark.parametrize(
    ("other", "group"),
    [
        (replace(CART, name="web"), "g1"),  # another workload
        (replace(CART, namespace="staging-shop"), "g1"),
        (CART, "g2"),  # another group
        (Target("kubernetes", "production", "", "Node", "node-a"), "g1"),
    ],
)
def test_another_target_or_group_is_another_problem(other: Target, group: str) -> None:
    assert correlate(alert("f2", other, group), [incident("i1", CART, "g1", "f1")]) is None


@pytest.mark.parametrize("kind", ["", "Pod", "Service"])
def test_an_alert_that_names_no_workload_joins_its_groups_incident(kind: str) -> None:
    vague = Target("kubernetes", "production", "shop", kind, "x" if kind else "")
    assert correlate(alert("f2", vague), [incident("i1", CART, "g1", "f1")]) is not None
    assert correlate(alert("f2", CART), [incident("i1", vague, "g1", "f1")]) is not None


def test_without_a_group_only_the_fingerprint_counts() -> None:
    assert correlate(alert("f2", CART, ""), [incident("i1", CART, "", "f1")]) is None


def test_a_folder_of_a_ci_system_is_never_the_namespace_that_is_called_alike() -> None:
    build = Target("jenkins", "production", "shop", "JenkinsJob", "checkout")
    vague = Target("kubernetes", "production", "shop", "", "")
    assert not same_target(build, vague)
    assert not same_target(vague, build)
    assert (vague.place, build.place) == ("shop", "jenkins:shop/checkout")


@given(TARGETS, TARGETS)
def test_same_target_goes_both_ways(one: Target, other: Target) -> None:
    assert same_target(one, other) == same_target(other, one)
    assert same_target(one, one)
    assert same_target(one, replace(one, environment="anything"))


@given(ALERTS, INCIDENTS)
def test_an_alert_joins_an_incident_with_its_fingerprint_or_one_of_its_group_and_no_other(
    one: Alert, incidents: list[Incident]
) -> None:
    joined = correlate(one, iter(incidents))
    known = [candidate for candidate in incidents if one.fingerprint in candidate.fingerprints]
    if known:
        assert joined is known[0]
    elif joined is not None:
        assert joined.group == one.group != ""
        assert same_target(joined.target, one.target)
    else:
        assert not any(
            candidate.group == one.group and same_target(candidate.target, one.target)
            for candidate in incidents
            if one.group
        )
