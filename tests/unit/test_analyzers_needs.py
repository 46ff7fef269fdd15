"""What words say is missing or in the way: refusals, hosts in logs, Secrets and ConfigMaps, and what restricts traffic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.analyzers.fields import text
from bot.analyzers.needs import _hosts, _named, _service, reference
from bot.analyzers.network import chosen, restricts
from bot.analyzers.quantities import parse_amount
from bot.analyzers.refused import Cause, amounts, parse
from bot.analyzers.scheduling import requests

# --- refusals


@pytest.mark.parametrize(
    ("message", "cause", "named"),
    [
        (
            'pods "a" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9',
            Cause.QUOTA,
            "team",
        ),
        ("create Pod failed: failed quota: team: must specify limits.cpu", Cause.QUOTA_DEMANDS, "team"),
        (
            'pods "a" is forbidden: maximum cpu usage per Pod is 2, but limit is 4',
            Cause.LIMIT_RANGE,
            "Pod",
        ),
        (
            "memory max limit to request ratio per Container is 2, but provided ratio is 4.000000",
            Cause.LIMIT_RANGE,
            "Container",
        ),
        (
            'Internal error occurred: failed calling webhook "v.acme.dev": context deadline exceeded',
            Cause.WEBHOOK_DOWN,
            "v.acme.dev",
        ),
        ('admission webhook "v.acme.dev" denied the request: no', Cause.DENIED, "v.acme.dev"),
        (
            "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'owners' with binding 'all' denied request: no owner",
            Cause.DENIED,
            "owners",
        ),
        (
            'error looking up service account shop/bot: serviceaccount "bot" not found',
            Cause.ACCOUNT,
            "bot",
        ),
    ],
)
def test_a_refusal_names_what_refuses(message: str, cause: Cause, named: str) -> None:
    found = parse(message)
    assert found is not None
    assert (found.cause, found.named) == (cause, named)


@pytest.mark.parametrize("message", ["", "etcdserver: request timed out", 'pods "quota" already exists', "webhook"])
def test_other_words_are_no_refusal_that_is_known(message: str) -> None:
    assert parse(message) is None


@given(st.text(max_size=300))
def test_any_words_of_the_api_server_are_read_without_an_error(message: str) -> None:
    for words in (message, f"exceeded quota: {message}", f'failed calling webhook "{message}": {message}'):
        parse(words)


def test_amounts_are_told_by_name() -> None:
    assert amounts("requests.cpu=500m, pods=1") == {"requests.cpu": "500m", "pods": "1"}
    assert amounts("nothing here") == {}


# --- hosts in log lines


@pytest.mark.parametrize(
    ("line", "host", "resolved"),
    [
        ("dial tcp: lookup stock on 10.96.0.10:53: no such host", "stock", False),
        ("Error: getaddrinfo ENOTFOUND redis-master", "redis-master", False),
        ("Error: getaddrinfo EAI_AGAIN redis.shop.svc.cluster.local", "redis.shop.svc.cluster.local", False),
        ('could not translate host name "orders-db" to address: Name or service not known', "orders-db", False),
        ("java.net.UnknownHostException: kafka-0.kafka", "kafka-0.kafka", False),
        ("curl: (6) Could not resolve host: billing", "billing", False),
        ("could not connect to cart-redis:6379: connection refused", "cart-redis", True),
        ('connection to server at "db" (10.1.2.3), port 5432 failed: Connection refused', "db", True),
        ("Connection refused: rabbit:5672", "rabbit", True),
        ("timed out waiting for stock:8080", "stock", True),
    ],
)
def test_a_log_line_names_the_host_that_does_not_answer(line: str, host: str, resolved: bool) -> None:
    assert (host, resolved) in set(_hosts(line))


@pytest.mark.parametrize(
    "line", ["ready to serve", "GET http://stock:8080/ 200", "lookup table rebuilt", "panic: host"]
)
def test_a_line_without_a_failure_names_no_host(line: str) -> None:
    assert list(_hosts(line)) == []


@pytest.mark.parametrize(
    ("host", "service", "namespace"),
    [
        ("redis", "redis", "shop"),
        ("redis.shop", "redis", "shop"),
        ("redis.data.svc", "redis", "data"),
        ("redis.data.svc.cluster.local", "redis", "data"),
        ("db-0.db", "db", "shop"),
        ("db-0.db.data.svc.cluster.local", "db", "data"),
        ("api.stripe.com", "", ""),
        ("acme.dev", "", ""),  # a name of two parts may be anybody's
        ("10.0.0.1", "", ""),
        ("localhost", "", ""),
    ],
)
def test_only_names_within_the_cluster_are_services(host: str, service: str, namespace: str) -> None:
    assert _service(host, "shop") == (service, namespace)


@given(st.text(max_size=400))
def test_any_log_line_is_read_without_an_error(line: str) -> None:
    for host, _ in _hosts(line):
        _service(host, "shop")


# --- Secrets and ConfigMaps


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('secret "db" not found', [("Secret", "db", "")]),
        ('configmap "settings" not found', [("ConfigMap", "settings", "")]),
        ("couldn't find key url in Secret shop/db", [("Secret", "db", "url")]),
        ("couldn't find key a.b in ConfigMap shop/settings", [("ConfigMap", "settings", "a.b")]),
        ('MountVolume.SetUp failed for volume "tls" : secret "web-tls" not found', [("Secret", "web-tls", "")]),
        (
            "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.",
            [("Secret", "regcred", "")],
        ),
        ("Back-off pulling image", []),
    ],
)
def test_the_kubelets_words_name_what_is_missing(message: str, expected: list[tuple[str, str, str]]) -> None:
    assert list(_named(message)) == expected


def container(**parts: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", **parts}]}


@pytest.mark.parametrize(
    ("template", "kind", "where"),
    [
        (
            container(env=[{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]),
            "Secret",
            "container app, env URL",
        ),
        (
            container(env=[{"name": "URL", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]),
            "ConfigMap",
            "container app, env URL",
        ),
        (container(envFrom=[{"secretRef": {"name": "x"}}]), "Secret", "container app, envFrom"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "Secret", "volume v"),
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "ConfigMap", "volume v"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]},
            "Secret",
            "volume v",
        ),
        (container(envFrom=[{"secretRef": {"name": "y"}}]), "Secret", ""),
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "Secret", ""),
        (None, "Secret", ""),
    ],
)
def test_the_field_that_names_it_is_found_in_the_template(template: Any, kind: str, where: str) -> None:
    assert reference(template, kind, "x", "") == where


# --- network policies


def policy(**spec: Any) -> dict[str, Any]:
    return {"kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": {"podSelector": {}, **spec}}


PORTS = [{"ports": [{"port": 443}, {"port": 8080}]}]
DNS = [{"ports": [{"port": 443}]}, {"ports": [{"port": 53, "protocol": "UDP"}]}]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"policyTypes": ["Egress"]}, "no egress at all"),
        ({"policyTypes": ["Egress"], "egress": []}, "no egress at all"),
        ({"policyTypes": ["Egress"], "egress": [{}]}, ""),
        ({"policyTypes": ["Ingress"]}, ""),
        ({}, ""),
        ({"policyTypes": ["Egress"], "egress": PORTS}, "egress to ports 443, 8080 only, not DNS (53)"),
        ({"policyTypes": ["Egress"], "egress": DNS}, "egress to ports 443, 53 only"),
        (
            {"policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}]},
            "egress to some peers only",
        ),
    ],
)
def test_what_a_policy_leaves_of_outgoing_traffic_is_told(spec: dict[str, Any], words: str) -> None:
    assert restricts(policy(**spec), "Egress") == words


def test_a_policy_chooses_pods_by_all_its_labels() -> None:
    one = policy(podSelector={"matchLabels": {"app": "web", "tier": "front"}})
    assert chosen(one, {"app": "web", "tier": "front", "x": "y"})
    assert not chosen(one, {"app": "web"})
    assert not chosen(policy(), {})  # pods whose labels were not read may be anybody's


def test_a_policy_with_expressions_is_not_judged() -> None:
    expressions = [{"key": "app", "operator": "Exists"}]
    assert not chosen(policy(podSelector={"matchExpressions": expressions}), {"app": "web"})


# --- foreign text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("pod\u202eknalb", "pod knalb"),
        ("a\x1b[31mb", "a [31mb"),
        ("line\nnext\tcell", "line\nnext\tcell"),
        ("größe 5 µs", "größe 5 µs"),
        ("\ud7fc", " "),
    ],
)
def test_what_cannot_be_printed_is_left_out_of_foreign_text(given: str, shown: str) -> None:
    assert text({"a": given}, "a") == shown


# --- requests


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("500m", 0.5), ("2", 2.0), ("0.25", 0.25), ("1Gi", 2.0**30), ("0", 0.0), ("", None), ("lots", None), ("-1", None)],
)
def test_an_amount_is_told_in_its_base_unit(quantity: str, value: float | None) -> None:
    assert parse_amount(quantity) == value


def test_what_a_pod_asks_for_is_the_sum_of_its_containers_and_a_limit_counts_where_no_request_is() -> None:
    spec = {
        "containers": [
            {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi"}}},
            {"resources": {"requests": {"cpu": "250m", "memory": "odd"}}},
            {},
        ]
    }
    assert requests(spec) == {"cpu": 0.75, "memory": 2.0**30}
