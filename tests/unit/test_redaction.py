"""Redaction: what is found, what survives, and that it never raises, never loops, never grows without bound."""

from __future__ import annotations

import random
import string
import time
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st

from policies.redaction import WITHHELD, Redactor
from tests.unit.test_redaction_patterns import POSITIVE, R

REDACTOR = Redactor(known=["our-signing-value", "xoxb-known"], key=b"one")


def masked(text: str) -> str:
    return REDACTOR.text(text).text


# --- text -------------------------------------------------------------------------------------------------------------


def test_clean_text_comes_back_as_it_is() -> None:
    text = "Pod shop/checkout-7d9f8b6c5d-x2x4z is restarting"
    redacted = REDACTOR.text(text)
    assert redacted.text is text
    assert redacted.count == 0


def test_the_mask_names_the_kind_and_is_the_same_for_the_same_value() -> None:
    one, two = masked("password=hunter22x"), masked("pwd: hunter22x")
    assert one.startswith("password=[secret:named:")
    assert one[-5:] == two[-5:]
    assert masked("password=other") != one
    assert Redactor(key=b"two").text("password=hunter22x").text != one


def test_only_the_value_is_masked_and_everything_is_counted() -> None:
    redacted = REDACTOR.text("a password=hunter22x b Authorization: Bearer abc.def.ghi1234567890 c")
    assert redacted.count == 2
    assert redacted.text.startswith("a password=[secret:named:")
    assert "Authorization: Bearer [secret:authorization:" in redacted.text
    assert redacted.text.endswith(" c")


def test_what_is_taken_out_is_told_by_kind() -> None:
    told: list[tuple[str, int]] = []
    redactor = Redactor(["xoxb-known"], found=lambda kind, count: told.append((kind, count)))
    redactor.json({"a": "xoxb-known and xoxb-known", "b": "password=hunter22x", "c": "nothing"})
    redactor.json({"kind": "Secret", "data": {"k": "dg=="}})
    assert told == [("known", 2), ("named", 1), ("secret-data", 1)]


@pytest.mark.parametrize("value", ["our-signing-value", "xoxb-known"])
def test_known_values_are_found_raw_in_base64_at_any_offset_and_url_encoded(value: str) -> None:
    assert value not in masked(f"x{value}y")
    for lead in ("", "a", "ab", "abc"):
        for tail in ("", "z", "zz"):
            encoded = b64encode(f"{lead}{value}{tail}".encode()).decode()
            assert "[secret:known:" in masked(encoded), (lead, tail)
    odd = Redactor(known=["a b/c+d&e=f"])
    assert "[secret:known:" in odd.text(quote("a b/c+d&e=f", safe="")).text


def test_short_known_values_would_mask_everything_and_are_left_out() -> None:
    assert Redactor(known=["abc", ""]).text("abc").text == "abc"


def test_random_tokens_of_no_known_kind_are_found() -> None:
    source = random.Random(7)
    for alphabet, size, least in (
        (string.ascii_letters + string.digits, 24, 85),
        (string.ascii_letters + string.digits, 40, 92),
        (string.ascii_letters + string.digits + "+/", 40, 90),
        (string.ascii_lowercase + string.digits, 40, 70),
    ):
        tokens = ["".join(source.choice(alphabet) for _ in range(size)) for _ in range(500)]
        found = sum(REDACTOR.text(f"value {token} here").count for token in tokens)
        assert found >= 5 * least, (size, found / 5)


@pytest.mark.parametrize(
    "text",
    [
        "checkout-7d9f8b6c5d-x2x4z",
        "pod/payments-api-canary-6b9f7c5d4x-9zk2w",
        "registry.example.com/shop/checkout@sha256:" + "3b5d" * 16,
        "0b7c2f1e-8f6b-4a57-9a55-2a3f0f8c1d2e",
        "resourceVersion: 918273645566",
        "pod-template-hash=7d9f8b6c5d",
        "containerd://" + "0f1e" * 16,
        "commit 3a577ab5f1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6",
        "/var/lib/kubelet/pods/0b7c2f1e-8f6b-4a57-9a55-2a3f0f8c1d2e/volumes/kubernetes.io~projected/kube-api-access-x2f4v",
        "org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration",
        "io.k8s.api.autoscaling.v2beta2.HorizontalPodAutoscalerV2Beta2Spec",
        "at com.shop.CheckoutServiceImpl$$EnhancerBySpringCGLIB$$1a2b3c4d.pay(CheckoutServiceImpl.java:123)",
        "Deployment/checkout-canary-2026-11-23",
        "gke-prod-default-pool-1a2b3c4d-x9z1",
        "ip-10-0-1-23.eu-west-1.compute.internal",
        "v0.0.0-20200101000000-abcdef123456",
        "01HZX3Y4Z5ABCDEFGHJKMNPQRS",
        "KUBERNETES_SERVICE_PORT_HTTPS_2024_EXTRA",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
        "2026-11-23T03:20:00.123456789Z",
        'container_memory_working_set_bytes{namespace="shop"}',
        "sum(rate(http_requests_total{code=~'5..'}[5m])) by (service)",
        "kubectl rollout undo deployment/checkout --to-revision=3",
        "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
        "U012ABCDEF said in C0123456789 at 1732330000.123456",
        "OOMKilled exit code 137, limit 128Mi, usage 127.9Mi",
    ],
)
def test_what_a_cluster_prints_survives(text: str) -> None:
    assert masked(text) == text


def test_a_key_block_is_masked_as_a_whole_however_long_the_text_around_it() -> None:
    noise = "line of a log that says nothing\n" * 200
    body = "\n".join(R[:64] for _ in range(25))
    text = f"{noise}-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n{noise}"
    out = masked(text)
    assert R[:64] not in out
    assert out.startswith(noise)
    assert out.endswith(noise)


def test_a_value_on_the_line_below_its_name_is_found_in_long_text_too() -> None:
    for size in range(60, 75):
        text = "a line of thirty characters ..\n" * size + "password:\n  hunter22x\n" + "and so on\n" * 300
        assert "hunter22x" not in masked(text)


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_clean_json_is_not_copied() -> None:
    value = {
        "kind": "Pod",
        "metadata": {"name": "checkout-7d9f8b6c5d-x2x4z", "labels": {"app": "checkout"}},
        "n": [1, None, True],
    }
    assert REDACTOR.json(value) == (value, 0)
    assert REDACTOR.json(value)[0] is value


def test_a_secrets_data_is_masked_and_its_names_stay() -> None:
    secret = {"kind": "Secret", "data": {"url": "eA=="}, "stringData": {"plain": "x"}, "metadata": {"name": "db"}}
    value, count = REDACTOR.json({"items": [secret]})
    clean = value["items"][0]
    assert count == 2
    assert list(clean["data"]) == ["url"]
    assert clean["data"]["url"].startswith("[secret:secret-data:")
    assert clean["stringData"]["plain"].startswith("[secret:secret-data:")
    assert clean["metadata"] == {"name": "db"}


def test_environment_variables_with_secret_names_lose_their_value_and_references_stay() -> None:
    env = [
        {"name": "DB_PASSWORD", "value": "x"},
        {"name": "LOG_LEVEL", "value": "debug"},
        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
    ]
    value, count = REDACTOR.json(env)
    assert count == 1
    assert value[0]["value"].startswith("[secret:named:")
    assert value[1:] == env[1:]


@pytest.mark.parametrize(
    "value",
    [
        {"password": "x"},
        {"headers": {"Authorization": "abc"}},
        {"headers": {"X-Api-Key": "abc"}},
        {".dockerconfigjson": "e30="},
        {"users": [{"user": {"client-key-data": "LS0t"}}]},
        {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        {"password": 123456},
        {"token": "abc"},
    ],
)
def test_a_secret_by_its_place_is_masked_whatever_it_looks_like(value: Any) -> None:
    clean, count = REDACTOR.json(value)
    assert count == 1
    assert "[secret:" in repr(clean)


@pytest.mark.parametrize(
    "value",
    [
        {"volumes": [{"secret": {"secretName": "db-credentials"}}]},
        {"automountServiceAccountToken": False},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"imagePullSecrets": [{"name": "regcred"}]},
        {"labels": {"secret": "db-credentials"}},
        {"max_tokens": 4096, "token_count": 3},
        {"password": None, "token": ""},
    ],
)
def test_a_reference_to_a_secret_stays(value: Any) -> None:
    assert REDACTOR.json(value) == (value, 0)


def test_secrets_in_keys_and_in_deep_places_are_found() -> None:
    token = POSITIVE["github-token"][0]
    value, count = REDACTOR.json({"a": [{"b": {token: {"c": f"x {token}"}}}]})
    assert count == 2
    assert token not in repr(value)


def test_what_is_too_deep_to_look_at_is_withheld() -> None:
    deep: Any = "password=hunter22x"
    for _ in range(200):
        deep = [deep]
    assert "hunter22x" not in repr(REDACTOR.json(deep)[0])
    assert WITHHELD in repr(REDACTOR.json(deep)[0])


def test_what_cannot_be_examined_is_withheld() -> None:
    assert REDACTOR.text(None).text == WITHHELD  # type: ignore[arg-type]


# --- properties and time ----------------------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        *(sample for samples in POSITIVE.values() for sample in samples[:1]),
        *(
            "password",
            "=",
            ": ",
            "token",
            "://",
            "@",
            '"',
            "'",
            "[secret:",
            ":ab12]",
            "[secret:named:ab12]",
            "-----END",
            "\n",
        ),
        *(
            "-----BEGIN PRIVATE KEY-----",
            "authorization:",
            "cookie: a=",
            "bearer ",
            "--token ",
            'auth": "',
            "our-signing-value",
        ),
    ]
)
_TEXT = st.lists(_PIECES | st.text(max_size=6), max_size=8).map("".join) | st.text(max_size=200)


@settings(max_examples=400, deadline=None)
@given(_TEXT)
def test_redaction_is_idempotent_bounded_and_never_raises(text: str) -> None:
    once = REDACTOR.text(text)
    again = REDACTOR.text(once.text)
    assert again.text == once.text
    assert len(once.text) <= 8 * len(text) + 100
    assert (once.count > 0) == (once.text != text)


@settings(max_examples=120, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | _TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "data", "password", "name", "value", "token", "x"]) | _TEXT, inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_redacting_json_is_idempotent_and_never_raises(value: Any) -> None:
    once, _ = REDACTOR.json(value)
    assert REDACTOR.json(once)[0] == once


@pytest.mark.parametrize(
    "piece", [" ", "password=", "a1B2c3", "[secret:", "-----BEGIN PRIVATE KEY-----", "token: x\n", "://a:b@", "eyJa."]
)
def test_a_megabyte_of_anything_is_done_in_seconds(piece: str) -> None:
    text = (piece * (300_000 // len(piece) + 1))[:300_000]
    began = time.process_time()
    REDACTOR.text(text)
    assert time.process_time() - began < 3


def test_a_clean_alert_costs_little() -> None:
    """The budget is 40 microseconds for 1 KB on a quiet machine; ten times that here would mean that the fast path is gone."""
    text = "Pod shop/checkout-7d9f8b6c5d-x2x4z (checkout) is restarting 2.03 times / 5 minutes. " * 12
    REDACTOR.text(text)
    began = time.process_time()
    for _ in range(200):
        REDACTOR.text(text)
    assert (time.process_time() - began) / 200 < 400e-6
