"""The pattern pack: three secrets of each kind that are found, and three look-alikes that are left alone.

The samples are put together from pieces, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import time

import pytest

from policies.patterns import NAMED_VALUE, PATTERNS, PRIVATE_KEY, is_secret_name
from policies.redaction import Redactor

R = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzC5" * 5  # letters and digits as a generator makes them
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 4
UP = "Q2W3E4R5T6Z7U2I3O4P5A6S7D2F3G4H5" * 3

POSITIVE: dict[str, tuple[str, str, str]] = {
    "private-key": (
        f"-----BEGIN RSA PRIVATE KEY-----\n{R[:64]}\n{R[:30]}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\\n{R[:64]}",
        f"key: |\n  -----BEGIN PRIVATE KEY-----\n  {R[:40]}\n  -----END PRIVATE KEY-----",
    ),
    "cookie": ("Cookie: session=abc; theme=dark", "Set-Cookie: id=x1y2; HttpOnly", '"cookie": "a=bcd"'),
    "authorization": ("Authorization: hunter22", "authorization: Token abcdef", '"Authorization": "Digest username=x"'),
    "bearer": (f"sent Bearer {R[:24]}", f"bearer {R[:40]} failed", f"using bearer {R[:16]}.x"),
    "basic-auth": ("Basic dXNlcjpwYXNz", "got basic QWxhZGRpbjpvcGVu today", "header Basic YTpiY2RlZmdo"),
    "url-password": (
        "postgres://app:s3cr3t@db/shop",
        "redis://:p%40ss@cache:6379/0",
        "https://bot:a:b@c@git.example.com/x",
    ),
    "slack-webhook": tuple(
        f"https://hooks.{host}/services/T012/B034/{R[:24]}" for host in ("slack.com", "slack-gov.com", "slack.com")
    ),
    "discord-webhook": tuple(
        f"https://discord{end}.com/api/webhooks/12345678/{R[:n]}" for end, n in (("", 30), ("app", 68), ("", 40))
    ),
    "azure-key": (f"AccountKey={R[:86]}==;", f"SharedAccessKey={R[:43]}=", f"x;accountkey={R[:40]}"),
    "azure-sas": (f"https://a.blob.core.windows.net/c?sv=1&sig={R[:43]}%3D", f"?sig={R[:30]}", f"&sig={R[:44]}"),
    "signed-url": (f"X-Amz-Signature={HEX[:64]}", f"x-goog-signature={HEX[:128]}", f"&X-Amz-Signature={HEX[:64]}&x=1"),
    "jwt": tuple(f"eyJhbGciOiJI{R[:n]}.eyJzdWIi{R[:n]}.{R[:43]}" for n in (8, 20, 60)),
    "aws-key-id": tuple(f"{mark}{UP[:16]}" for mark in ("AKIA", "ASIA", "ABIA")),
    "aws-secret": (
        f"aws_secret_access_key = {R[:40]}",
        f'AWS_SECRET_ACCESS_KEY="{R[:40]}"',
        f"aws secret key: {R[:40]} ",
    ),
    "gcp-api-key": (f"AIza{R[:35]}", f"key=AIza{R[5:40]}", f"AIza{R[:20]}_-{R[:13]}"),
    "gcp-oauth": tuple(f"ya29.{R[:n]}" for n in (20, 60, 120)),
    "gcp-key-id": tuple(f"{q}private_key_id{q}: {q}{HEX[:40]}{q}" for q in ('"', '\\"', "'")),
    "azure-client-secret": tuple(f"{a}8Q~{R[:31]}" for a in ("abc", "X_1", "~.-")),
    "github-token": tuple(f"gh{letter}_{R[:36]}" for letter in "pos"),
    "github-pat": tuple(f"github_pat_{R[:22]}_{R[:n]}" for n in (1, 20, 59)),
    "gitlab-token": tuple(f"gl{word}-{R[:20]}" for word in ("pat", "dt", "agent")),
    "slack-token": (f"xoxb-12345678901-{R[:24]}", f"xapp-1-A012-{R[:20]}", f"xoxe.xoxp-1-{R[:30]}"),
    "stripe-key": (f"sk_live_{R[:24]}", f"rk_test_{R[:24]}", f"whsec_{R[:32]}"),
    "openai-key": (f"sk-{R[:48]}", f"sk-proj-{R[:40]}", f"sk-svcacct-{R[:40]}"),
    "anthropic-key": tuple(f"sk-ant-{word}-{R[:40]}" for word in ("api03", "admin01", "x")),
    "npm-token": tuple(f"{lead}npm_{R[:36]}" for lead in ("", "//registry/: ", "= ")),
    "pypi-token": tuple(f"pypi-AgEIcHlwaS5vcmc{R[:n]}" for n in (40, 80, 120)),
    "dockerhub-token": (f"dckr_pat_{R[:27]}", f"dckr_oat_{R[:32]}", f"x dckr_pat_{R[:20]}_-"),
    "sendgrid-key": tuple(f"SG.{R[:22]}.{R[:n]}" for n in (43, 20, 60)),
    "vault-token": tuple(f"hv{letter}.{R[:24]}" for letter in "sbr"),
    "grafana-token": (f"glsa_{R[:32]}_1a2b3c4d", f"glc_{R[:60]}", f"glsa_{R[:20]}"),
    "newrelic-key": tuple(f"NR{word}-{R[:27]}" for word in ("AK", "JS", "II")),
    "digitalocean-token": tuple(f"do{letter}_v1_{HEX[:64]}" for letter in "opr"),
    "terraform-token": tuple(f"{R[:14]}.atlasv1.{R[:n]}" for n in (40, 60, 67)),
    "age-key": tuple(f"{lead}AGE-SECRET-KEY-1{UP[:58]}" for lead in ("", "x: ", "\n")),
    "telegram-token": tuple(f"{number}:AA{R[:33]}" for number in (12345678, 123456789, 1234567890)),
    "password-hash": (f"$2b$12${R[:53]}", f"$6$salt${R[:86]}", f"$argon2id$v=19$m=65536,t=3,p=4${R[:22]}${R[:43]}"),
    "registry-auth": ('"auth": "dXNlcjpwYXNz"', '\\"auth\\":\\"dXNlcjpwYXNz\\"', f'"identitytoken": "{R[:40]}"'),
    "kubeconfig-key": ("client-key-data: LS0tLS1C", '"client-key-data": "LS0tLS1C"', f"    client-key-data: {R[:80]}"),
    "option": ("curl --token hunter22", "mysql --password=s3cr3t", "tool --api-key 'abc123'"),
}

NEGATIVE: dict[str, tuple[str, str, str]] = {
    "private-key": ("-----BEGIN CERTIFICATE-----", "a PRIVATE KEY is needed", "-----BEGIN PUBLIC KEY-----\nMIIB"),
    "cookie": ("cookie: missing", "cookies are off", "the cookie jar"),
    "authorization": ("authorization failed", "no authorization header", "authorization: denied"),
    "bearer": ("bearer authentication", "a bearer of news", "Bearer <token>"),
    "basic-auth": ("basic authentication", "Basic realm", "basically fine"),
    "url-password": ("http://db:5432/shop", "https://user@example.com/x", "image registry:5000/a@sha256:ab"),
    "slack-webhook": (
        "https://hooks.slack.com/",
        "https://api.slack.com/methods/chat.postMessage",
        "hooks.slack.com/services/x",
    ),
    "discord-webhook": ("https://discord.com/channels/1/2", "/api/webhooks/list", "/api/webhooks/12345678/short"),
    "azure-key": ("AccountName=shop", "AccountKey=", "accountkey=short"),
    "azure-sas": ("?sig=none", "signal=9", "config=sig"),
    "signed-url": ("X-Amz-Signature=short", "X-Amz-Date=20261123T000000Z", "x-amz-request-id: 1"),
    "jwt": ("eyJ.eyJ.x", "a.b.c", "eyJhbGciOiJI alone"),
    "aws-key-id": ("AKIA", "AKIASHORT", "xAKIA is a prefix"),
    "aws-secret": ("aws_region = eu-west-1", "aws key rotation", "aws_access_key_id missing"),
    "gcp-api-key": ("AIza", "AIzashort", "the AIza prefix"),
    "gcp-oauth": ("ya29.", "ya29.short", "Maya29.example"),
    "gcp-key-id": ('"private_key_id": ""', "private_key_id is set", '"private_key_id": null'),
    "azure-client-secret": ("abc8Q~short", "Q~", "8Q~"),
    "github-token": ("ghp_", "ghp_short", "https://github.com/a/b"),
    "github-pat": ("github_pat_", "github_pat_short", "github_path"),
    "gitlab-token": ("glpat-", "glpat-short", "https://gitlab.com/a"),
    "slack-token": ("xoxb-", "xoxb-short", "xapp"),
    "stripe-key": ("sk_live_", "sk_test_x", "task_live_update"),
    "openai-key": ("sk-", "sk-learn", "task-runner-for-all-of-the-things"),
    "anthropic-key": ("sk-ant-", "sk-ant-short", "desk-ant-farm"),
    "npm-token": ("npm_config_cache", "npm_lifecycle_event", "npm_"),
    "pypi-token": ("pypi-publish", "pypi-", "pypi-server-2"),
    "dockerhub-token": ("dckr_pat_", "dckr_pat_short", "dckr"),
    "sendgrid-key": ("SG.1", "sg.example.com", "SG.a.b"),
    "vault-token": ("hvs.", "hvs.short", "hvs.example.com"),
    "grafana-token": ("glsa_", "glsa_short", "glc_1"),
    "newrelic-key": ("NRAK-", "NRAK-short", "NRQL-query"),
    "digitalocean-token": ("dop_v1_", "dop_v1_short", f"dop_v2_{HEX[:8]}"),
    "terraform-token": (".atlasv1.", "x.atlasv1.y", "atlasv1"),
    "age-key": ("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1SHORT", "age1qqqq"),
    "telegram-token": ("12345678:AA", "10:00:AABB", "1234567:AAx"),
    "password-hash": ("$2b$", "costs $2.50", "$6 and $5"),
    "registry-auth": ('"auth": ""', '"auth": true', "oauth: x"),
    "kubeconfig-key": ("client-key-data:", "client-key: /etc/x.pem", "client-key-data: {}"),
    "option": ("--token-file /x", "--password-stdin", "--tokens 512"),
}


REDACTOR = Redactor(key=b"test")


def kinds(text: str) -> list[str]:
    return [part.split(":")[0] for part in REDACTOR.text(text).text.split("[secret:")[1:]]


@pytest.mark.parametrize("kind", sorted(POSITIVE))
def test_three_secrets_of_each_kind_are_found(kind: str) -> None:
    for sample in POSITIVE[kind]:
        for text in (sample, f"2026-11-23T03:00:00Z error {sample}", f"{sample}\nnext line"):
            assert kind in kinds(text), (text, REDACTOR.text(text).text)


@pytest.mark.parametrize("kind", sorted(NEGATIVE))
def test_three_look_alikes_of_each_kind_are_left_alone(kind: str) -> None:
    for sample in NEGATIVE[kind]:
        assert kind not in kinds(sample), REDACTOR.text(sample).text


def test_every_pattern_has_its_samples_and_there_are_enough_of_them() -> None:
    every = {pattern.kind for pattern in (*PATTERNS, PRIVATE_KEY)}
    assert every == set(POSITIVE) == set(NEGATIVE)
    assert len(every) >= 25


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "DB_PASSWORD: s3cr3t!",
        'password = "correct horse"',
        "{'api_key': 'abc'}",
        '{\\"password\\":\\"abc\\"}',
        "SECRET_TOKEN=abcdef123456",
        "client_secret => abc1234",
        "accessKey: abcdef0123",
        "token=ab12",
        "signing-key: 0x1f2e3d",
    ],
)
def test_a_value_behind_a_secret_name_is_found(text: str) -> None:
    assert "named" in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        'FATAL: password authentication failed for user "shop"',
        "token expired",
        "error: invalid token: expired",
        "max_tokens: 4096",
        "tokens: 512",
        "secretName: db-credentials",
        "secretKeyRef: {name: db, key: password}",
        'secret "db-credentials" not found',
        'kube_secret_info{secret="db-credentials"}',
        "imagePullSecrets: [regcred]",
        "tokenExpirationSeconds: 3607",
        "password: <hidden>",
        "password: ${DB_PASSWORD}",
        "secret/db-credentials created",
        "token: null",
        "passwordPolicy: strict",
    ],
)
def test_a_sentence_about_a_secret_is_left_alone(text: str) -> None:
    assert REDACTOR.text(text).text == text


def test_names_that_refer_to_a_secret_are_not_secret() -> None:
    assert all(
        map(is_secret_name, ["DB_PASSWORD", "apiKey", "token", "client_secret", "x-api-key", "AWS_SECRET_ACCESS_KEY"])
    )
    assert not any(
        map(is_secret_name, ["secretName", "tokenPath", "passwordRef", "key", "namespace", "token_count", "monkey"])
    )


_EVIL = [
    "a",
    "-",
    " ",
    "=",
    ":",
    "\\",
    "eyJ",
    "--token ",
    "password",
    "key",
    "://",
    "@",
    "-----BEGIN PRIVATE KEY-----",
    "aws ",
]


@pytest.mark.parametrize("piece", _EVIL)
@pytest.mark.parametrize("lead", ["password=", "://", "aws key ", "-----BEGIN PRIVATE KEY-----", "authorization: "])
def test_no_pattern_takes_more_than_linear_time(lead: str, piece: str) -> None:
    """Each pattern alone, even untriggered, gets through 16 KB of repetition; a backtracking one would take minutes."""
    text = (lead + piece * 16_000)[:16_000]
    for regex in (*(each.regex for each in PATTERNS), PRIVATE_KEY.regex, NAMED_VALUE):
        began = time.process_time()
        regex.sub("", text)
        assert time.process_time() - began < 0.3, (regex.pattern, lead, piece)
