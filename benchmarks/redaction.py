"""How many planted secrets the redactor finds, how much it masks that is none, and how fast it is.

`python -m benchmarks.redaction` prints the table; `--json` the figures. Everything is generated from a fixed seed: logs as a
cluster prints them, 100 secrets of 10 kinds that the pattern pack knows (*tuned*: an upper bound, since pack and corpus have
one author), and 40 secrets of 8 kinds that it does not know (*held out*: what stands for the secrets nobody thought of).
A secret counts as found where at least 90 % of its characters are gone. The floor of the speed is one regular expression
for runs of 20 characters: the least that any scanner has to do.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import string
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from benchmarks.measure import Figure, pin, show
from policies.redaction import Redactor

MEGABYTE = 1 << 20
SIZE, CHUNK, SEED = 5 * MEGABYTE, 16 * 1024, 20_261_128
FOUND = 0.9
_ALNUM, _HEX, _BASE64 = (
    string.ascii_letters + string.digits,
    "0123456789abcdef",
    string.ascii_letters + string.digits + "+/",
)
_NAMES = ("checkout", "payments", "cart", "web", "search", "ledger", "inventory-sync", "mail-relay")
_RUNS = re.compile(r"[A-Za-z0-9+/_=.-]{20,}")

Draw = Callable[[random.Random], str]


def _of(alphabet: str, size: int, lead: str = "") -> Draw:
    return lambda source: lead + "".join(source.choices(alphabet, k=size))


def _jwt(source: random.Random) -> str:
    return f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi{_of(_ALNUM, 40)(source)}.{_of(_ALNUM, 43)(source)}"


def _uuid(source: random.Random) -> str:
    digits = _of(_HEX, 32)(source)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


TUNED: Mapping[str, Draw] = {
    "GitHub token": _of(_ALNUM, 36, "ghp_"),
    "GitLab token": _of(_ALNUM, 20, "glpat-"),
    "Slack bot token": lambda s: f"xoxb-{_of(string.digits, 12)(s)}-{_of(string.digits, 12)(s)}-{_of(_ALNUM, 24)(s)}",
    "AWS key id": _of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, "AKIA"),
    "Stripe key": _of(_ALNUM, 24, "sk_live_"),
    "OpenAI key": lambda s: f"sk-proj-{_of(_ALNUM, 20)(s)}7{_of(_ALNUM, 20)(s)}",
    "JSON web token": _jwt,
    "npm token": _of(_ALNUM, 36, "npm_"),
    "Vault token": _of(_ALNUM, 24, "hvs."),
    "password in a URL": lambda s: f"postgres://app:{_of(_ALNUM, 14)(s)}@db.internal/app",
}
HELD_OUT: Mapping[str, Draw] = {
    "Databricks token": _of(_HEX, 32, "dapi"),
    "Linear key": _of(_ALNUM, 40, "lin_api_"),
    "Postman key": lambda s: f"PMAK-{_of(_HEX, 24)(s)}-{_of(_HEX, 34)(s)}",
    "Square token": _of(_ALNUM, 22, "sq0atp-"),
    "Cloudflare token": _of(_ALNUM + "_-", 40),
    "SAML assertion piece": _of(_BASE64, 64),
    "session cookie value": _of(_ALNUM, 32),
    "UUID that is a key": _uuid,
}
_AROUND = (
    'level=warn msg="retrying upstream" attempt=2 using={} host=10.2.3.4',
    "2026-11-28T03:12:44.120Z INFO  client connected with {} after 120ms",
    '{{"ts":"2026-11-28T03:12:44Z","level":"debug","caller":"client.go:88","value":"{}"}}',
    "    at com.acme.Client.open(Client.java:214) [{}]",
    "curl -s https://api.example.com/v1/items -H 'X-Api: {}'",
)


def logs(size: int, seed: int = SEED) -> str:
    """About `size` characters of what a cluster prints, without a secret in them."""
    source, parts, length = random.Random(seed), [], 0
    while length < size:
        line = source.choice(_LINES)(source)
        parts.append(line)
        length += len(line) + 1
    return "\n".join(parts)


def planted(kinds: Mapping[str, Draw], of_each: int, size: int) -> tuple[str, dict[str, list[str]]]:
    """Logs with `of_each` secrets of each kind among their lines, and which they are."""
    source, lines = random.Random(SEED + len(kinds)), logs(size).split("\n")
    secrets: dict[str, list[str]] = {}
    for kind, draw in kinds.items():
        secrets[kind] = [draw(source) for _ in range(of_each)]
        for secret in secrets[kind]:
            lines.insert(source.randrange(len(lines)), source.choice(_AROUND).format(secret))
    return "\n".join(lines), secrets


def recall(kinds: Mapping[str, Draw], of_each: int, *, known: bool = False) -> dict[str, int]:
    """How many secrets of each kind were found; `known`: where the redactor holds them, as it holds its own."""
    text, secrets = planted(kinds, of_each, MEGABYTE // 2)
    redactor = Redactor([value for values in secrets.values() for value in values] if known else ())
    shown = "".join(redactor.text(piece).text for piece in chunks(text))
    return {kind: sum(_gone(value, shown) for value in values) for kind, values in secrets.items()}


def masked_for_nothing(size: int = 2 * MEGABYTE) -> int:
    """How many masks stand in logs that hold no secret."""
    return sum(Redactor().text(piece).count for piece in chunks(logs(size, SEED + 1)))


def chunks(text: str) -> Iterator[str]:
    """The text in pieces of whole lines, about as long as a tool's result."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin + CHUNK)
        end = len(text) if end < 0 else end + 1
        yield text[begin:end]
        begin = end


def _gone(secret: str, shown: str) -> bool:
    """Whether at least 90 % of the value is gone: no piece of it longer than a tenth still stands there."""
    secret = secret.rpartition("app:")[2].partition("@")[0] if "://" in secret else secret
    size = max(4, int(len(secret) * (1 - FOUND)) + 1)
    body = secret[4:] if len(secret) > 16 else secret  # a maker's mark in front is no secret
    return not any(body[at : at + size + 3] in shown for at in range(0, len(body) - size - 3, size))


# --- what a cluster prints --------------------------------------------------------------------------------------------


def _pod(source: random.Random) -> str:
    safe = "bcdfghjklmnpqrstvwxz2456789"
    return f"{source.choice(_NAMES)}-{_of(safe, 9)(source)}-{_of(safe, 5)(source)}"


_LINES: tuple[Draw, ...] = (
    lambda s: (
        f"I1128 03:{s.randrange(60):02}:11.{s.randrange(10**6):06} 1 reconciler.go:{s.randrange(900)}] Reconciling"
        f' pod="shop/{_pod(s)}" podUID="{_uuid(s)}"'
    ),
    lambda s: (
        f'10.244.{s.randrange(9)}.{s.randrange(250)} - - [28/Nov/2026:03:12:{s.randrange(60):02} +0000] "GET'
        f' /api/v1/orders/{s.randrange(10**6)}?page={s.randrange(9)} HTTP/1.1" 200 {s.randrange(9000)} "-" "okhttp/4.12.0"'
    ),
    lambda s: (
        f'{{"level":"info","ts":"2026-11-28T03:12:{s.randrange(60):02}.120Z","caller":"http/server.go:{s.randrange(500)}",'
        f'"msg":"request handled","trace_id":"{_of(_HEX, 32)(s)}","span_id":"{_of(_HEX, 16)(s)}","took_ms":{s.randrange(900)}}}'
    ),
    lambda s: (
        f"Normal  Pulled  3m  kubelet  Successfully pulled image"
        f' "registry.acme.dev/shop/{s.choice(_NAMES)}@sha256:{_of(_HEX, 64)(s)}" in 1.{s.randrange(900)}s'
    ),
    lambda s: (
        f"\tat org.springframework.web.filter.OncePerRequestFilter.doFilter(OncePerRequestFilter.java:{s.randrange(400)})"
    ),
    lambda s: (
        f"kube-system   {_pod(s)}   1/1   Running   {s.randrange(4)}   {s.randrange(90)}d   10.244.0.{s.randrange(250)}"
    ),
    lambda s: (
        f'level=warn msg="slow query" table=order_items rows={s.randrange(10**5)} took={s.randrange(9)}.{s.randrange(999)}s'
    ),
    lambda s: (
        f"commit {_of(_HEX, 40)(s)} by CI #{s.randrange(4000)}: {s.choice(_NAMES)} 2.{s.randrange(9)}.0, regional taxes"
    ),
    lambda s: (
        f"2026-11-28 03:12:{s.randrange(60):02} [main] INFO  c.a.shop.OrderController - order {_uuid(s)} accepted"
    ),
)


# --- figures ----------------------------------------------------------------------------------------------------------


def measured(rounds: int) -> list[Figure]:
    """Recall on both sets, masks for nothing, and speed."""
    pin(0)
    tuned, held = recall(TUNED, 10), recall(HELD_OUT, 5)
    text, _ = planted(TUNED, 10, SIZE)
    pieces = list(chunks(text))
    speeds, floors = [], []
    for _ in range(rounds):
        speeds.append(_megabytes_a_second(len(text), lambda: [Redactor().text(piece) for piece in pieces]))
        floors.append(_megabytes_a_second(len(text), lambda: [_RUNS.findall(piece) for piece in pieces]))
    speed = statistics.median(speeds)
    return [
        _share("secrets of kinds that the pack knows, found", tuned, 100),
        _share("secrets of kinds that it does not know, found", held, 34),
        _share("those, where the redactor holds them", recall(HELD_OUT, 5, known=True), 40),
        Figure(
            "masks in logs without a secret",
            masked_for_nothing() / 2,
            "per MB",
            target="≤ 1 per MB",
            held=masked_for_nothing() <= 2,
        ),
        Figure(
            "redaction of logs",
            speed,
            "MB/s",
            statistics.median(floors),
            speed / statistics.median(floors),
            "≥ 10 MB/s",
            speed >= 10,
        ),
    ]


def _share(what: str, found: Mapping[str, int], least: int) -> Figure:
    total = sum(found.values())
    return Figure(what, total, "", target=f"≥ {least}", held=total >= least)


def _megabytes_a_second(size: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return size / MEGABYTE / (time.process_time() - began)


def main() -> int:
    """Print the table, and which kinds were missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.redaction", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    code = show(measured(3), as_json=options.json)
    if not options.json:
        for name, kinds, of_each in (("tuned", TUNED, 10), ("held out", HELD_OUT, 5)):
            print(f"{name}: " + ", ".join(f"{kind} {n}/{of_each}" for kind, n in recall(kinds, of_each).items()))
    return code


if __name__ == "__main__":
    sys.exit(main())
