"""Secrets out of text and JSON, before the model, before Slack and before the journal.

Four layers: *structure* (a Secret's data, an environment variable called PASSWORD …), *known values* (what this process
itself holds, raw, in base64 and URL-encoded), *patterns* (tokens that show their maker) and *entropy* (what looks random
and is not one of Kubernetes' own random names). What is found becomes `[secret:kind:ab12]`; the four digits are the same
for the same value within one deployment. What cannot be examined is withheld.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from policies.patterns import KEY_NAME, NAME_TRIGGERS, NAMED_VALUE, PATTERNS, PRIVATE_KEY, is_secret_name

WITHHELD = "[withheld: could not be checked for secrets]"
MIN_KNOWN = 6
MAX_PASSES = 4
MAX_DEPTH = 60
BLOCK = 2048
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MARK = re.compile(r"\[secret:[a-z-]{1,40}:[0-9a-f]{4}\]")
_LONG = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_LONG_DOTTED = re.compile(r"[A-Za-z0-9+/_=.-]{20,}")
_PIECES = re.compile(r"[^/=.]{16,}")
_WORDS = re.compile(r"[a-z]{3,}")
_HEX = re.compile(r"(?:sha\d{1,3}-)?[0-9a-fA-F-]+")
_HARMLESS = re.compile(
    r"(?:null|none|nil|true|false|undefined|unset|empty|expired|invalid|missing|required|denied|unknown|revoked|rejected|"
    r"not|is|was|has|the|a|an|no|yes|and|or|for|from|in|of|to|failed|error|redacted|hidden|masked|\*+|x{3,}|<[a-z _-]+>|"
    r"\$[({]?[a-z_]*[)}]?|%[sdvq]|[0-9]{1,6})[.:!?]?",
    re.IGNORECASE,
)
_NAME_OF_OBJECT = re.compile(r"[a-z][a-z0-9]*(?:[-./][a-z0-9]+)+")


@dataclass(frozen=True)
class Redacted:
    """Text that may be shown, and how many secrets were taken out of it."""

    text: str
    count: int


class Redactor:
    """Takes secrets out. `key` is this deployment's own, `known` are secret values that it holds.

    `found` hears how many secrets of a kind were taken out, each time.
    """

    def __init__(
        self, known: Iterable[str] = (), key: bytes = b"", found: Callable[[str, int], None] = lambda kind, count: None
    ) -> None:
        self._found = found
        self._key = key or hashlib.sha256(b"personal-agent redaction").digest()
        values = {value.strip() for value in known if len(value.strip()) >= MIN_KNOWN}
        self._known = tuple(
            (form, value) for value in sorted(values, key=lambda v: (-len(v), v)) for form in _encodings(value)
        )

    def text(self, text: str) -> Redacted:
        """The text without secrets. Applying it again changes nothing. Never raises: what fails is withheld."""
        try:
            if not self._suspicious(text):
                return Redacted(text, 0)
            count = 0
            for _ in range(MAX_PASSES):  # a mask can lay bare another match; the text is done when nothing is found
                masked, found = self._pass(text)
                if masked == text:
                    return Redacted(text, count)
                text, count = masked, count + found
            return Redacted(WITHHELD, count + 1)
        except Exception:  # noqa: BLE001 – this is the last guard before text leaves: nothing unexamined may pass
            return Redacted(WITHHELD, 1)

    def json(self, value: Any) -> tuple[Any, int]:
        """Plain JSON without secrets, and how many were taken out. Clean input comes back as it is, not copied."""
        try:
            strings: list[str] = []
            if _plain_strings(value, strings, MAX_DEPTH) and not self._suspicious("\n".join(strings)):
                return value, 0
            return self._json(value, MAX_DEPTH)
        except Exception:  # noqa: BLE001 – as above
            return WITHHELD, 1

    def mask(self, kind: str, value: str, count: int = 1) -> str:
        """What stands for a secret value, in `count` places."""
        self._found(kind, count)
        return (
            f"[secret:{kind}:{hmac.new(self._key, value.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:4]}]"
        )

    # --- text ---------------------------------------------------------------------------------------------------------

    def _suspicious(self, text: str) -> bool:
        """The cheap question that almost every text answers with no."""
        lowered = text.lower()
        for trigger in _TEXT_TRIGGERS:
            if trigger in lowered:
                return True
        if "key" in lowered and KEY_NAME.search(lowered):
            return True
        if any(form in text for form, _ in self._known):
            return True
        runs = _LONG_DOTTED.findall(text)
        if not runs:
            return False
        joined = _joined(runs)
        for trigger in _RUN_TRIGGERS:
            if trigger in joined:
                return True
        return any(map(_looks_random, runs))

    def _pass(self, text: str) -> tuple[str, int]:
        """Known values and key blocks anywhere; everything else block by block, looking closely only where it may help."""
        found = 0
        for form, value in self._known:
            if form in text:
                found += text.count(form)
                text = text.replace(form, self.mask("known", value, text.count(form)))
        if "PRIVATE" in text:
            text, hits = self._sub(PRIVATE_KEY.kind, PRIVATE_KEY.regex, text)
            found += hits
        blocks = [self._block(block) if self._suspicious(block) else (block, 0) for block in _blocks(text)]
        return "".join(block for block, _ in blocks), found + sum(hits for _, hits in blocks)

    def _block(self, text: str) -> tuple[str, int]:
        found = 0
        lowered, runs = text.lower(), _joined(_LONG_DOTTED.findall(text))
        for pattern in PATTERNS:
            where = runs if pattern.in_run else lowered
            for trigger in pattern.triggers:  # written out: `any` over a generator costs more than the search itself
                if trigger in where:
                    text, hits = self._sub(pattern.kind, pattern.regex, text)
                    found += hits
                    break
        if any(trigger in lowered for trigger in NAME_TRIGGERS) or KEY_NAME.search(lowered):
            text, hits = self._named_values(text)
            found += hits
        text, hits = self._random_runs(text)
        return text, found + hits

    def _sub(self, kind: str, regex: re.Pattern[str], text: str) -> tuple[str, int]:
        group = "secret" if "secret" in regex.groupindex else 0
        hits = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal hits
            secret = match[group]
            if not _MARK.sub("", secret).strip(" ;,.=-\r\n") or _HARMLESS.fullmatch(secret):
                return match[0]
            hits += 1
            begin, end = match.span(group)
            return match[0][: begin - match.start()] + self.mask(kind, secret) + match[0][end - match.start() :]

        return regex.sub(replace, text), hits

    def _named_values(self, text: str) -> tuple[str, int]:
        hits = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal hits
            group = "quoted" if match["quoted"] is not None else "bare"
            if match["name"] is None or not _is_value(match["name"], match[group], quoted=group == "quoted"):
                return match[0]
            hits += 1
            return match[0][: match.start(group) - match.start()] + self.mask("named", match[group])

        return NAMED_VALUE.sub(replace, text), hits

    def _random_runs(self, text: str) -> tuple[str, int]:
        if not any(map(_looks_random, _LONG.findall(text))):
            return text, 0
        hits = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal hits
            if not _looks_random(match[0]):
                return match[0]
            hits += 1
            return self.mask("random", match[0])

        return _LONG.sub(replace, text), hits

    # --- JSON ---------------------------------------------------------------------------------------------------------

    def _json(self, value: Any, depth: int) -> tuple[Any, int]:
        if isinstance(value, str):
            redacted = self.text(value)
            return redacted.text, redacted.count
        if depth == 0:
            return WITHHELD, 1
        if isinstance(value, Mapping):
            return self._map(value, depth - 1)
        if isinstance(value, list | tuple):
            pairs = [self._json(item, depth - 1) for item in value]
            return [item for item, _ in pairs], sum(count for _, count in pairs)
        return value, 0

    def _map(self, value: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], int]:
        result: dict[str, Any] = {}
        total = 0
        secret = value.get("kind") == "Secret"
        named = is_secret_name(_MARK.sub("", value["name"])) if isinstance(value.get("name"), str) else False
        for key, inner in value.items():
            clean = self.text(key) if isinstance(key, str) else Redacted(str(key), 0)
            shown: Any
            if secret and key in ("data", "stringData") and isinstance(inner, Mapping):
                shown, count = {name: self._whole("secret-data", item) for name, item in inner.items()}, len(inner)
            elif _hides(key, inner, named=named):
                shown, count = self._whole("named", inner), 1
            else:
                shown, count = self._json(inner, depth)
            result[clean.text] = shown
            total += count + clean.count
        return result, total

    def _whole(self, kind: str, value: Any) -> str:
        text = value if isinstance(value, str) else repr(value)
        return text if _MARK.fullmatch(text) else self.mask(kind, text)


def _joined(runs: list[str]) -> str:
    """Long runs as one lower-case text, in which the triggers that stand inside a run can be looked for."""
    return ":" + ":".join(runs).lower()


def _blocks(text: str) -> Iterator[str]:
    """The text in blocks of whole lines, cut where no line leaves its value to the next."""
    begin = 0
    while len(text) - begin > BLOCK:
        end = text.find("\n", begin + BLOCK)
        while end > 0 and text[max(begin, end - 40) : end].rstrip("\r ")[-1:] in (":", "=", "\\", ",", ">"):
            end = text.find("\n", end + 1)
        if end < 0:
            break
        yield text[begin : end + 1]
        begin = end + 1
    yield text[begin:]


def _triggers(*, in_run: bool) -> Iterator[str]:
    """The triggers of the patterns of one sort, but for those that another trigger contains."""
    for pattern in PATTERNS:
        if pattern.in_run is in_run:
            yield from (word for word in pattern.triggers if not any(name in word for name in NAME_TRIGGERS))


_TEXT_TRIGGERS = tuple(dict.fromkeys((*NAME_TRIGGERS, *_triggers(in_run=False))))
_RUN_TRIGGERS = tuple(dict.fromkeys(_triggers(in_run=True)))


def _encodings(value: str) -> list[str]:
    """The value as it is, URL-encoded, and what of it shows in base64 whatever stands before it."""
    data = value.encode("utf-8", "replace")
    forms = [value, quote(value, safe="")]
    for lead in range(3):
        encoded = b64encode(b"\0" * lead + data).decode().rstrip("=")
        core = encoded[(0, 2, 3)[lead] :]
        core = core if (lead + len(data)) % 3 == 0 else core[:-1]
        if len(core) >= MIN_KNOWN:
            forms += [core, core.replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(forms))


def _hides(key: Any, value: Any, *, named: bool) -> bool:
    """Whether a map's entry is a secret by its place: by its own name, or as the value of a name beside it."""
    if not isinstance(key, str) or value in ("", None) or isinstance(value, bool | Mapping | list | tuple):
        return False
    if isinstance(value, str) and _MARK.fullmatch(value):
        return False
    if key == _LAST_APPLIED or (named and key == "value"):
        return True
    own = _MARK.sub("", key)
    if not is_secret_name(own):
        return False
    if isinstance(value, str):
        return not (_HARMLESS.fullmatch(value) or (own.lower() == "secret" and _NAME_OF_OBJECT.fullmatch(value)))
    return "passw" in own.lower()


def _is_value(name: str, value: str, *, quoted: bool) -> bool:
    """Whether what follows a secret-looking name in running text is its value, and not the next word of a sentence."""
    if not is_secret_name(name) or _MARK.search(value) or value.startswith("[secret:") or _HARMLESS.fullmatch(value):
        return False
    if name.lower().startswith(("token", "secret", "credential")) and _NAME_OF_OBJECT.fullmatch(value):
        return False
    return quoted or "passw" in name.lower() or len(value) >= 12 or any(letter.isdigit() for letter in value)


def _plain_strings(value: Any, into: list[str], depth: int) -> bool:
    """Collect every string of plain JSON; False as soon as the structure itself needs a closer look."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, Mapping):
        if depth == 0 or value.get("kind") == "Secret":
            return False
        for key, inner in value.items():
            if not isinstance(key, str) or not _plain_strings(inner, into, depth - 1):
                return False
            into.append(key)
    elif isinstance(value, list | tuple):
        return depth > 0 and all(_plain_strings(item, into, depth - 1) for item in value)
    return True


def _looks_random(run: str) -> bool:
    """Whether a long run of letters and digits has a piece that is random, and no name, path, hash or word."""
    if len(run) < 32 and (run == run.lower() or run == run.upper()):
        return False
    return any(map(_random_piece, _PIECES.findall(run))) or _random_base64(run)


def _random_piece(piece: str) -> bool:
    upper, lower = piece != piece.lower(), piece != piece.upper()
    if not (upper and lower):  # names of objects are lower-case with dashes, constants upper-case with underscores
        if len(piece) < 32 or "-" in piece or "_" in piece:
            return False
        digits = sum(map(str.isdigit, piece))
        return len(piece) > digits >= len(piece) // 6 and not _HEX.fullmatch(piece)
    if not any(map(str.isdigit, piece)) or _HEX.fullmatch(piece):
        return False  # digests, uids, commit and container ids, trace ids
    turns = sum(_turns(one, other) for one, other in pairwise(piece))
    words = sum(map(len, _WORDS.findall(piece)))
    return turns * 7 >= len(piece) * 2 and words * 9 < len(piece) * 4 and _entropy(piece) >= 3.2


def _random_base64(run: str) -> bool:
    """Whether a run is random base64 that its slashes cut too short to be seen in pieces."""
    if "/" not in run or "-" in run or "_" in run or "." in run or run.startswith("/"):
        return False
    pieces = run.strip("=").split("/")
    mixed = sum(piece != piece.lower() and piece != piece.upper() for piece in pieces)
    return mixed * 2 >= len(pieces) and _random_piece(run.replace("/", ""))


def _turns(one: str, other: str) -> bool:
    """Whether the kind of letter changes, but for the capital at the start of a word."""
    if one.isupper():
        return not (other.isupper() or other.islower())
    return one.islower() != other.islower() or one.isdigit() != other.isdigit()


def _entropy(piece: str) -> float:
    """Shannon's entropy in bits per character."""
    size = len(piece)
    return -sum(count / size * math.log2(count / size) for count in Counter(piece).values())
