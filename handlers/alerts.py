"""Alert messages that allow-listed bots post in watched channels: text, blocks and attachments -> Alert.

Text alone can be written by anybody, so only the bot's own id counts. An edited message is read again under the
fingerprint that it had; a deleted one leaves a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from domain.alerts import Alert, Severity, fingerprint, target_of
from handlers.kit import line
from handlers.services import Services

_STATUS = re.compile(r"\[?\b(FIRING|RESOLVED|ALERTING|OK|RECOVERED|TRIGGERED)\b(?::\s*\d+)?\]?:?", re.IGNORECASE)
_CEASED = re.compile(r"\[?\b(RESOLVED|RECOVERED|OK)\b", re.IGNORECASE)
_PAIR = re.compile(r"\b([a-z_][a-z0-9_]{1,40})\s*[=:]\s*[\"'`“]?([A-Za-z0-9][\w./@-]{0,200})", re.IGNORECASE)
_CRITICAL = re.compile(r"\b(critical|page|fatal|sev-?1|p1)\b", re.IGNORECASE)
_INFO = re.compile(r"\b(info|informational|notice)\b", re.IGNORECASE)
_LINK = re.compile(r"<(https?://[^|>\s]{1,2000})(?:\|([^>]*))?>")
_LABELS = frozenset(
    {
        "alertname",
        "namespace",
        "pod",
        "deployment",
        "statefulset",
        "daemonset",
        "cronjob",
        "job_name",
        "node",
        "service",
    }
    | {"app", "container", "cluster", "instance", "severity", "environment", "env", "region"}
)
_DEPTH = 12


async def on_message(services: Services, event: Mapping[str, Any]) -> None:
    """A bot's message, new, edited or deleted."""
    channel = str(event["channel"])
    message, previous = event.get("message") or event, event.get("previous_message") or {}
    subtype = event.get("subtype")
    if subtype == "message_deleted":
        await _gone(services, channel, previous)
        return
    if not from_allowed_bot(services, channel, message) or _in_thread(message):
        return
    alert = parse(message, channel, services)
    if alert is None:
        return
    if subtype == "message_changed" and (before := parse(previous, channel, services)):
        alert = replace(alert, fingerprint=before.fingerprint, group=before.group, target=before.target)
    await services.plane.receive([alert])


async def _gone(services: Services, channel: str, message: Mapping[str, Any]) -> None:
    if not from_allowed_bot(services, channel, message):
        return
    alert = parse(message, channel, services)
    for incident in await services.journal.incidents(open_only=True, limit=10_000):
        if alert and alert.fingerprint in incident.fingerprints:
            said = (
                f"The alert's message in Slack was deleted: {alert.name}. The incident stays open until it is resolved."
            )
            await services.chat.notice(incident.id, f"source-gone:{message.get('ts')}", said)


def from_allowed_bot(services: Services, channel: str, message: Mapping[str, Any]) -> bool:
    """Whether the bot behind the message is on the list for this channel; its own messages never are."""
    ids = {str(message.get(name)) for name in ("bot_id", "app_id") if message.get(name)}
    if services.identity.bot_id in ids or message.get("user") == services.identity.bot_user_id:
        return False
    return bool(ids & set(services.plane.allowed_bots(channel)))


def _in_thread(message: Mapping[str, Any]) -> bool:
    return bool(message.get("thread_ts")) and message.get("thread_ts") != message.get("ts")


def parse(message: Mapping[str, Any], channel: str, services: Services) -> Alert | None:
    """The alert that the message tells of; None where it says nothing."""
    texts = [services.redact(text) for text in words(message)]
    if not texts:
        return None
    whole = "\n".join(texts)
    labels = labels_of(message, texts)
    name = labels.get("alertname") or _name(texts)
    namespace = labels.get("namespace", "")
    identity = {key: value for key, value in labels.items() if key != "severity"}
    where = {} if namespace or labels.get("node") else {"slack_channel": channel}
    bot = str(message.get("bot_id") or message.get("app_id") or "")
    return Alert(
        fingerprint=fingerprint({"alertname": name, "slack_bot": bot, **where, **identity}),
        firing=not _ceased(message, texts),
        name=name,
        source="slack",
        starts_at=_moment(message),
        severity=_severity(whole, labels),
        summary=line(whole, 300),
        description=whole[:4000],
        labels={"alertname": name, **labels},
        group=f"slack:{bot}:{name}:{namespace}",
        target=target_of(labels, services.plane.environment(namespace)),
        url=_link_of(message),
    )


def words(message: Mapping[str, Any]) -> list[str]:
    """Everything readable in a message, in reading order, each text once."""
    found: list[str] = []
    for attachment in _maps(message.get("attachments")):
        found += [str(attachment[key]) for key in ("pretext", "title", "text") if attachment.get(key)]
        found += [f"{one.get('title', '')}: {one.get('value', '')}" for one in _maps(attachment.get("fields"))]
        found += _block_words(attachment.get("blocks"))
        if not any(attachment.get(key) for key in ("title", "text", "blocks", "fields")) and attachment.get("fallback"):
            found.append(str(attachment["fallback"]))
    own = _block_words(message.get("blocks"))
    text = str(message.get("text") or "")
    everything = ([text] if text and not own else []) + own + found
    return [one for one in dict.fromkeys(_readable(text) for text in everything) if one.strip()]


def _block_words(value: Any, depth: int = 0) -> list[str]:
    """The texts of blocks; a rich text section is one line."""
    if depth > _DEPTH:
        return []
    if isinstance(value, list):
        return [text for part in value for text in _block_words(part, depth + 1)]
    if not isinstance(value, Mapping):
        return []
    kind = value.get("type")
    if kind in ("rich_text_section", "rich_text_preformatted", "rich_text_quote"):
        return ["".join(str(part.get("text") or part.get("url") or "") for part in _maps(value.get("elements")))]
    if isinstance(value.get("text"), str) and kind in ("plain_text", "mrkdwn", "markdown", "text"):
        return [str(value["text"])]
    inner = [value.get(key) for key in ("text", "fields", "elements", "title") if not isinstance(value.get(key), str)]
    return [text for part in inner for text in _block_words(part, depth + 1)]


def _maps(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (part for part in value if isinstance(part, Mapping)) if isinstance(value, list) else ()


def _readable(text: str) -> str:
    """mrkdwn as words: links by their label, entities as signs."""
    text = _LINK.sub(lambda found: found[2] or found[1], text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def labels_of(message: Mapping[str, Any], texts: list[str]) -> dict[str, str]:
    """The labels that a message names: `namespace=shop`, `Namespace: shop`, or an attachment's fields."""
    labels: dict[str, str] = {}
    for text in texts:
        for key, value in _PAIR.findall(text.replace("*", "").replace("`", "")):
            if key.lower() in _LABELS:
                labels.setdefault(key.lower(), value.rstrip(".,;:"))
    return labels


def _name(texts: list[str]) -> str:
    """The first line without its status: [FIRING:1] KubePodCrashLooping (shop) -> KubePodCrashLooping (shop)."""
    for text in texts:
        first = _STATUS.sub("", text.split("\n", 1)[0]).strip(" :–-*_|")
        if first:
            return line(first, 120)
    return "Alert"


def _ceased(message: Mapping[str, Any], texts: list[str]) -> bool:
    """Resolved, by the first words; a headline says it, a log line deeper down does not."""
    heads = [text.split("\n", 1)[0][:80] for text in texts[:2]]
    return any(_CEASED.search(head) for head in heads) and not any("FIRING" in head.upper() for head in heads)


def _severity(whole: str, labels: Mapping[str, str]) -> Severity:
    said = labels.get("severity", "") or whole[:300]
    if _CRITICAL.search(said):
        return Severity.CRITICAL
    return Severity.INFO if _INFO.search(labels.get("severity", "")) else Severity.WARNING


def _moment(message: Mapping[str, Any]) -> datetime:
    seconds = str(message.get("ts") or "0").partition(".")[0]
    return datetime.fromtimestamp(int(seconds) if seconds.isdigit() else 0, UTC)


def _link_of(message: Mapping[str, Any]) -> str:
    for attachment in _maps(message.get("attachments")):
        if attachment.get("title_link"):
            return str(attachment["title_link"])[:2000]
    found = _LINK.search(str(message.get("text") or ""))
    return found[1] if found else ""
