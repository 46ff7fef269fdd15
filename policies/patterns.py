"""The pattern pack: what secrets of known makers look like. Every pattern takes linear time and names its kind.

`triggers` are lower-case words of which one must occur in the lower-cased text before the pattern is tried at all;
`in_run` says that they stand inside the token's own run of 20 or more letters, digits and `+/_=.-`, so that they need only
be looked for there. The
group `secret`, where there is one, is what is masked; else the whole match is. A test holds three examples and three
counter-examples of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class SecretPattern:
    """One kind of secret."""

    kind: str
    triggers: tuple[str, ...]
    regex: re.Pattern[str]
    in_run: bool = False


def _p(kind: str, triggers: str, regex: str, flags: int = 0) -> SecretPattern:
    return SecretPattern(kind, tuple(triggers.split()), re.compile(regex, flags))


def _run(kind: str, triggers: str, regex: str, flags: int = 0) -> SecretPattern:
    return SecretPattern(kind, tuple(triggers.split()), re.compile(regex, flags), in_run=True)


_I = re.IGNORECASE
_QUOTE = r"\\{0,3}[\"']"

PRIVATE_KEY = _p(
    "private-key",
    "private",
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<secret>(?:(?!-----END)[\s\S])+)",
)
"""The only secret that goes over many lines."""

PATTERNS: tuple[SecretPattern, ...] = (
    # --- headers first: what they hold is not looked at in pieces ------------------------------------
    _p("cookie", "cookie", r"\bcookie[\"']?\s{0,3}:\s{0,3}[\"']?(?P<secret>[^\s\"'=]{1,200}=[^\r\n\"']{2,4000})", _I),
    _p(
        "authorization",
        "authorization",
        r"authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
        r"(?:(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)\s{1,3})?(?P<secret>[^\s\"',;]{6,})",
        _I,
    ),
    _p("bearer", "bearer", r"\bbearer\s{1,3}(?P<secret>(?=[^\s\d]{0,200}\d)[\w.~+/=-]{16,})", _I),
    _p("basic-auth", "basic", r"\b[Bb]asic\s{1,3}(?P<secret>(?=[a-z+/]{0,200}[A-Z0-9])[A-Za-z0-9+/]{12,}={0,2})"),
    # --- URLs and connection strings ----------------------------------------------------------------------------------
    _p("url-password", "@", r"://[^\s/:@\"'<>]{0,100}:(?P<secret>[^\s/\"'<>]{1,200})@"),
    _run("slack-webhook", "hooks.slack", r"hooks\.slack(?:-gov)?\.com/[a-z]{1,12}/(?P<secret>[A-Za-z0-9/_+-]{20,})"),
    _run("discord-webhook", "/api/webhooks/", r"/api/webhooks/\d{5,25}/(?P<secret>[A-Za-z0-9_-]{20,})"),
    _run(
        "azure-key", "accountkey sharedaccesskey", r"(?:account|shared ?access)key=(?P<secret>[A-Za-z0-9+/=]{20,})", _I
    ),
    _run("azure-sas", "sig=", r"[?&]sig=(?P<secret>[A-Za-z0-9%+/=_-]{20,})"),
    _run(
        "signed-url",
        "x-amz-signature x-goog-signature",
        r"x-(?:amz|goog)-signature=(?P<secret>[0-9a-f]{40,})",
        _I,
    ),
    # --- tokens that carry their maker's mark -------------------------------------------------------------------------
    _run("jwt", "eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"),
    _run("aws-key-id", "akia asia abia acca", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _p(
        "aws-secret",
        "aws",
        r"aws[\w. -]{0,30}key[\w. -]{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<secret>[\w/+]{40})\b",
        _I,
    ),
    _run("gcp-api-key", "aiza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _run("gcp-oauth", "ya29.", r"\bya29\.[0-9A-Za-z_-]{20,}"),
    _p(
        "gcp-key-id", "private_key_id", r"private_key_id[\\\"']{1,4}\s{0,3}:\s{0,3}[\\\"']{1,4}(?P<secret>[a-f0-9]{40})"
    ),
    _p("azure-client-secret", "q~", r"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}"),
    _run("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,}"),
    _run("github-pat", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,}"),
    _run(
        "gitlab-token",
        "glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glagent- glimt- glffct-",
        r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|ffct)-[A-Za-z0-9_.-]{20,}",
    ),
    _run("slack-token", "xox xapp-", r"\b(?:xox[abcdeoprs]|xoxe\.xox[bp]|xapp)-[A-Za-z0-9-]{10,}"),
    _run("stripe-key", "k_live_ k_test_ whsec_", r"\b(?:[srp]k_(?:live|test)|whsec)_[A-Za-z0-9+/=]{10,}"),
    _run("openai-key", "sk-", r"\bsk-(?!ant-)(?:proj-|svcacct-|admin-)?(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9_-]{20,}"),
    _run("anthropic-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    _run("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36,}"),
    _run("pypi-token", "pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    _run("dockerhub-token", "dckr_", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    _run("sendgrid-key", "sg.", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _run("vault-token", "hvs. hvb. hvr.", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    _run("grafana-token", "glsa_ glc_", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{20,}"),
    _run("newrelic-key", "nrak- nrjs- nrii-", r"\bNR(?:AK|JS|II)-[A-Za-z0-9_-]{19,}"),
    _run("digitalocean-token", "doo_v1_ dop_v1_ dor_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    _run("terraform-token", ".atlasv1.", r"\b[A-Za-z0-9]{10,20}\.atlasv1\.[A-Za-z0-9_-]{40,}"),
    _run("age-key", "age-secret-key-", r"\bAGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    _run("telegram-token", ":aa", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    _p("password-hash", "$2 $5$ $6$ $argon2", r"\$(?:2[aby]|[56]|argon2(?:id|i|d))\$[\w$./+=,-]{20,}"),
    # --- names that say what their value is ---------------------------------------------------------------------------
    _p(
        "registry-auth",
        'auth" auth\\ identitytoken',
        r"(?:\bauth|identitytoken)" + _QUOTE + r"\s{0,3}:\s{0,3}" + _QUOTE + r"(?P<secret>[A-Za-z0-9+/=]{8,})",
    ),
    _p(
        "kubeconfig-key",
        "client-key-data",
        r"client-key-data[\\\"']{0,4}\s{0,3}:\s{0,3}[\\\"']{0,4}(?P<secret>[\w+/=]{8,})",
    ),
    _p(
        "option",
        "--pass --token --secret --api-key --apikey --auth",
        r"(?<!\S)--(?:pass(?:word|wd|phrase)?|token|secret|api-?key|auth-token)(?:=|\s{1,3})[\"']?(?P<secret>[^\s\"'-][^\s\"']{2,})",
        _I,
    ),
)

NAMED_VALUE = re.compile(
    r"\[secret:[a-z-]{1,40}:[0-9a-f]{4}\]|(?P<name>(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|"
    r"encryption[_-]?key|credentials?)[\w.-]{0,30})" + r"(?:\\{0,3}[\"'])?\s{0,3}(?:=>|[:=])\s{0,3}"
    r"(?:(?P<quote>\\{0,3}[\"'])(?P<quoted>[^\"'\r\n\\]{1,500})|(?P<bare>[^\s\"',;&<>(){}\[\]\\]{1,500}))",
    _I,
)
"""`name=value`, `name: value`, `"name": "value"`, for names that look secret; what is a value is decided in redaction.
A mask already made matches as a whole, with no name.
"""

NAME_TRIGGERS = (
    "private",
    *(
        "passw",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "credential",
        "authorization",
        "cookie",
        "dockerc",
        "client-key",
    ),
    "last-applied-configuration",
)
"""Words that call for a look at names and their values; names that end in `key` are found by `KEY_NAME`."""

KEY_NAME = re.compile(
    "key(?:"
    + "|".join(
        f"(?<={word}{joint}key)"
        for word in ("api", "access", "private", "signing", "encryption")
        for joint in ("", "_", "-")
    )
    + ")"
)
"""`apikey`, `access_key` … in lower-cased text; the literal in front makes the search fast."""

_SECRET_NAME = re.compile(
    r"passw(?:or)?d|passphrase|(?:^|[_.-])pwd(?:$|[_.-])|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"signing[_-]?key|encryption[_-]?key|client-key-data|credential|authorization|cookie|dockerconfigjson|dockercfg",
    _I,
)
_REFERENCE_NAME = re.compile(
    r"(?:name|names|ref|refs|keyref|path|file|files|dir|url|uri|type|class|count|limit|max|min|ttl|seconds|expiry|"
    r"expires|expiration|expired|version|enabled|id|ids|length|size|policy|mount|status|error|store|provider|manager|used)$",
    _I,
)


def is_secret_name(name: str) -> bool:
    """Whether a variable, key or header of this name holds a secret itself, rather than refers to one or counts them."""
    return _SECRET_NAME.search(name) is not None and _REFERENCE_NAME.search(name) is None
