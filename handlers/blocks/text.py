"""Text that goes to Slack: escaped, made harmless, and cut to length."""

from __future__ import annotations

import re

# What a reader cannot see, or what turns the reading order: shown as its code point instead.
# U+2060 stays where this module put it; a joiner stays inside an emoji.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2061-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![<\\]:])\u2060"
    "|(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
# A mention, a channel, a special command or a link would begin here; a word joiner after the sign ends that.
_LIVE = re.compile(r"<(?=[!@#]|[a-z][a-z0-9+.-]*:)|\](?=\()|(?<=[a-z]):(?=//)", re.IGNORECASE)
_FENCE = re.compile("`{3,}|~{3,}")
_FENCE_SIGNS = {"`": "\u02cb", "~": "\u223c"}
_OPEN_TAIL = re.compile(r"(&[#a-zA-Z0-9]{0,9}|<[^<>\n]{0,3000})\Z")


def escape(text: str) -> str:
    """Slack's three: & < > become entities, so that mrkdwn shows them as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def neutralise(text: str) -> str:
    """Untrusted text that can no longer mention, link, open or close a fence, or hide characters.

    For `mrkdwn`, `markdown` and stream text alike: the words stay readable, U+2060 breaks what Slack would
    act on, and control, bidirectional and zero-width characters are shown as ⟨U+202E⟩. Doing it twice
    changes nothing.
    """
    text = text.replace("\r\n", "\n")
    text = _INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
    text = _FENCE.sub(lambda found: _FENCE_SIGNS[found[0][0]] * len(found[0]), text)
    return _LIVE.sub(lambda found: found[0] + "\u2060", text)


def fit(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, to be used on text that is already escaped.

    Whole lines are kept where at least one fits, an entity, a <link> and a ``` fence are never left open, and
    a last line says how much is missing: "+12 lines", or "…" where the only line was cut.
    """
    if len(text) <= limit:
        return text
    lines = text.count("\n") + 1
    room = limit - len(f"\n```\n+{lines} lines")
    if room <= 0:
        return (_whole_tokens(text, max(limit - 1, 0)).replace("`", "") + "…")[:limit]
    end = text.rfind("\n", 0, room + 1)
    kept = text[:end] if end > 0 else _whole_tokens(text, room - 1) + "…"
    missing = lines - kept.count("\n") - 1
    if kept.count("```") % 2:
        kept += "\n```"
    return kept + (f"\n+{missing} line{'s' * (missing != 1)}" if missing else "")


def _whole_tokens(text: str, length: int) -> str:
    """The first `length` characters, fewer where that would cut an entity, a <token> or a fence in two."""
    kept = text[:length]
    if (tail := _OPEN_TAIL.search(kept, max(length - 3001, 0))) and length < len(text):
        kept = kept[: tail.start()]
    if text[len(kept) : len(kept) + 1] == "`":
        kept = kept.rstrip("`")
    return kept
