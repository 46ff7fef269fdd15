"""Alertmanager's silences: hide what matches for a bounded time, and take that back. Done once, marked, probed.

A silence changes what people hear and nothing else. While it holds, Alertmanager tells nobody of these alerts, this agent
included: neither that they fire nor that they have ceased.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, field_validator

from bot.tools.prometheus_api import Obj, a_list, a_map
from bot.tools.prometheus_series import clean, labels_of, named
from bot.tools.rest import RestClient
from bot.tools.spec import Arguments, Model, WriteTool
from domain.actions import Action, Effect, Target, Undo
from domain.decisions import Check
from domain.errors import TargetMoved, ToolError
from domain.ports import Preview, Probe

NAME = "alertmanager_silence"
AUTHOR = "personal-agent/"
"""How `createdBy` of our silences begins; the execution's id follows, which is the idempotency key."""
LONGEST = 24 * 60  # minutes
SHOWN = 10  # alerts on the card
_SLACK_MINUTES = 1  # a silence begins a little in the past: its clock may be behind ours
_PROBE_SECONDS = 30


class Matcher(Model):
    """What a label must be, as Alertmanager's own matchers say it."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    value: str = Field(max_length=300)
    is_regex: bool = Field(False, description="value is a regular expression (RE2) for the whole value")
    is_equal: bool = Field(True, description="false: must not be so")


class Silence(Model):
    """What to hide, for how long, and why."""

    matchers: Annotated[list[Matcher], Field(min_length=1, max_length=10)]
    minutes: int = Field(60, ge=1, le=LONGEST)
    comment: str = Field(min_length=1, max_length=300, description="why, for whoever finds the silence")
    expire: bool = Field(False, description="true ends the silence that this agent made with these matchers")

    @field_validator("matchers")
    @classmethod
    def _name_the_alert(cls, value: list[Matcher]) -> list[Matcher]:
        named = [each for each in value if each.name == "alertname" and each.is_equal and not each.is_regex]
        if not any(each.value for each in named):
            raise ValueError("one matcher must name the alertname exactly: what else it would hide, nobody can tell")
        return sorted(value, key=_identity)


def open_alertmanager(url: str, token: str = "") -> RestClient:
    """A client; talks to nothing yet. Raises SettingsError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return RestClient("Alertmanager", url, fix="check ALERTMANAGER_TOKEN", headers=headers)


def alertmanager_tools(client: RestClient, environment: Callable[..., str]) -> tuple[WriteTool, ...]:
    """The writes of one Alertmanager. `environment` names the environment of a namespace."""
    silences = _Silences(client)

    def about(arguments: Arguments) -> Target:
        matchers = arguments["matchers"]
        exact = {each["name"]: each["value"] for each in matchers if each["is_equal"] and not each["is_regex"]}
        namespace = str(exact.get("namespace", ""))
        return Target("alertmanager", environment(namespace), namespace, "Silence", words(matchers))

    return (
        WriteTool(
            NAME,
            f"Silence alerts in Alertmanager for a while (at most {LONGEST} minutes), or end a silence that this agent made."
            " Only for alerts that are known and harmless: it hides a problem, it mends none.",
            Effect.WRITE,
            Silence,
            about,
            silences.preview,
            silences.execute,
            silences.arrived,
            silences.probe,
            _PROBE_SECONDS,
        ),
    )


def words(matchers: Sequence[Mapping[str, Any]]) -> str:
    """Matchers as amtool writes them."""
    return clean(", ".join(f'{each["name"]}{_operator(each)}"{each["value"]}"' for each in matchers), 300)


class _Silences:
    """What the tool does. Every method raises ToolError."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    async def preview(self, arguments: Arguments) -> Preview:
        """The alerts that would be hidden, or the silence that would end."""
        return await (self._preview_end(arguments) if arguments["expire"] else self._preview_begin(arguments))

    async def execute(self, action: Action, key: str) -> str:
        """Make the silence, or end those that were seen."""
        return await (self._end(action) if action.arguments["expire"] else self._begin(action, key))

    async def arrived(self, action: Action, key: str) -> bool:
        """A silence carries the key of the execution that made it; one that was ended is expired."""
        known = await self._silences(action.arguments["matchers"])
        if not action.arguments["expire"]:
            return any(_text(each, "createdBy") == AUTHOR + key for each in known)
        wanted = set(_ids(action))
        return wanted <= {_text(each, "id") for each in known if _state(each) == "expired"}

    async def probe(self, action: Action) -> Probe:
        """Whether it holds now, and hides what it should; or no longer does."""
        matchers = action.arguments["matchers"]
        ours = [each for each in await self._silences(matchers) if _ours(each)]
        active = {_text(each, "id"): each for each in ours if _state(each) == "active"}
        alerts = await self._alerts(matchers)
        hidden = [alert for alert in alerts if active.keys() & set(_silenced_by(alert))]
        if action.arguments["expire"]:
            left = sorted(active.keys() & set(_ids(action)))
            gone = Check("the silence has ended", not left, f"{', '.join(left) or 'none of them'} still active")
            return Probe((gone,), settled=not left)
        until = ", ".join(clean(_text(each, "endsAt"), 40) for each in active.values())
        holds = Check("the silence is active", bool(active), f"until {until}" if active else "there is none")
        count = f"{len(hidden)} of {len(alerts)}"
        suppressed = Check("the alerts that it matches are suppressed", len(hidden) == len(alerts), count)
        return Probe((holds, suppressed), settled=holds.passed and suppressed.passed)

    # --- begin --------------------------------------------------------------------------------------------------------

    async def _preview_begin(self, arguments: Arguments) -> Preview:
        matchers, minutes = arguments["matchers"], arguments["minutes"]
        alerts = [alert for alert in await self._alerts(matchers) if not _silenced_by(alert)]
        standing = [each for each in await self._silences(matchers) if _state(each) == "active"]
        if standing:
            raise ToolError(f"These are silenced already, until {clean(_text(standing[0], 'endsAt'), 40)}.")
        if not alerts:
            raise ToolError(f"No alert that is heard matches {words(matchers)} now, so there is nothing to silence.")
        undo = Undo(NAME, {**_taken(arguments), "expire": True}, "ends the silence")
        lines = [f"+ silence {words(matchers)} for {minutes} min", f"hides {_many(len(alerts))} now:"]
        lines += [f"  {named(labels_of(alert.get('labels')))}" for alert in alerts[:SHOWN]]
        lines += [f"  and {len(alerts) - SHOWN} more"] if len(alerts) > SHOWN else []
        lines.append(
            "Until it ends, Alertmanager tells nobody of them, this agent included: neither firing nor resolved."
        )
        return Preview({"hides": _kinds(alerts)}, "\n".join(lines), len(alerts), undo)

    async def _begin(self, action: Action, key: str) -> str:
        arguments = action.arguments
        found = _kinds(alert for alert in await self._alerts(arguments["matchers"]) if not _silenced_by(alert))
        if new := sorted(set(found) - set(action.observed["hides"])):
            raise TargetMoved(f"Other alerts match by now: {', '.join(new[:5])}. Nothing was silenced.")
        now = datetime.now(UTC)
        body = {
            "matchers": [_as_alertmanager(each) for each in arguments["matchers"]],
            "startsAt": (now - timedelta(minutes=_SLACK_MINUTES)).isoformat(),
            "endsAt": (now + timedelta(minutes=arguments["minutes"])).isoformat(),
            "createdBy": AUTHOR + key,
            "comment": f"{arguments['comment']} ({key})",
        }
        reply = await self._client.send("POST", "/api/v2/silences", doing="silence alerts", body=body, changes=True)
        name = clean(a_map(_json(reply.text)).get("silenceID") or "without a name", 60)
        return f"silenced {words(arguments['matchers'])} for {arguments['minutes']} min (silence {name})"

    # --- end ----------------------------------------------------------------------------------------------------------

    async def _preview_end(self, arguments: Arguments) -> Preview:
        matchers = arguments["matchers"]
        ours = [each for each in await self._silences(matchers) if _ours(each) and _state(each) == "active"]
        if not ours:
            raise ToolError(f"This agent has no active silence with exactly {words(matchers)}.")
        ids = sorted(_text(each, "id") for each in ours)
        hidden = [alert for alert in await self._alerts(matchers) if set(ids) & set(_silenced_by(alert))]
        left = max(1, min(LONGEST, max(_minutes_left(_text(each, "endsAt")) for each in ours)))
        undo = Undo(NAME, {**_taken(arguments), "minutes": left, "expire": False}, "silences them again")
        lines = [f"- silence {each} of {words(matchers)}" for each in ids]
        lines.append(f"{_many(len(hidden))} will be heard again")
        return Preview({"silences": ids}, "\n".join(lines), len(hidden), undo)

    async def _end(self, action: Action) -> str:
        ids = _ids(action)
        active = {
            _text(each, "id") for each in await self._silences(action.arguments["matchers"]) if _state(each) == "active"
        }
        if missing := sorted(set(ids) - active):
            raise TargetMoved(f"The silence {', '.join(missing)} is not active any more. Nothing was changed.")
        for each in ids:
            await self._client.send("DELETE", f"/api/v2/silence/{each}", doing="end a silence", changes=True)
        return f"ended the silence {', '.join(ids)}"

    # --- what Alertmanager has ----------------------------------------------------------------------------------------

    async def _alerts(self, matchers: Sequence[Mapping[str, Any]]) -> list[Obj]:
        """The alerts that match, whether somebody hears them or not."""
        filters = [("filter", f"{each['name']}{_operator(each)}{_quoted(each['value'])}") for each in matchers]
        found = await self._client.get("/api/v2/alerts", filters, doing="list its alerts")
        return [dict(alert) for alert in found if isinstance(alert, Mapping)] if isinstance(found, list) else []

    async def _silences(self, matchers: Sequence[Mapping[str, Any]]) -> list[Obj]:
        """The silences with exactly these matchers, ended ones included."""
        found = await self._client.get("/api/v2/silences", doing="list its silences")
        wanted = sorted(map(_identity, (Matcher(**each) for each in matchers)))
        listed = [dict(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
        return [each for each in listed if sorted(map(_identity_there, a_list(each, "matchers"))) == wanted]


# --- parts ------------------------------------------------------------------------------------------------------------


def _identity(matcher: Matcher) -> tuple[str, str, bool, bool]:
    return matcher.name, matcher.value, matcher.is_regex, matcher.is_equal


def _identity_there(matcher: Any) -> tuple[str, str, bool, bool]:
    given = a_map(matcher)
    return (
        str(given.get("name")),
        str(given.get("value")),
        given.get("isRegex") is True,
        given.get("isEqual") is not False,  # older versions know no inequality and leave it out
    )


def _as_alertmanager(matcher: Mapping[str, Any]) -> Obj:
    return {
        "name": matcher["name"],
        "value": matcher["value"],
        "isRegex": matcher["is_regex"],
        "isEqual": matcher["is_equal"],
    }


def _operator(matcher: Mapping[str, Any]) -> str:
    return {(True, False): "=", (True, True): "=~", (False, False): "!=", (False, True): "!~"}[
        matcher["is_equal"], matcher["is_regex"]
    ]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _taken(arguments: Arguments) -> dict[str, Any]:
    return {"matchers": arguments["matchers"], "minutes": arguments["minutes"], "comment": arguments["comment"]}


def _kinds(alerts: Iterable[Mapping[str, Any]]) -> list[str]:
    """What an approval binds: which alerts of which namespace are hidden, not which of their pods fire at the moment."""
    labels = (a_map(alert.get("labels")) for alert in alerts)
    return sorted(
        {clean(f"{each.get('alertname', '')} in {each.get('namespace') or 'no namespace'}", 200) for each in labels}
    )


def _ids(action: Action) -> list[str]:
    return [str(each) for each in action.observed.get("silences", ())]


def _ours(silence: Mapping[str, Any]) -> bool:
    return _text(silence, "createdBy").startswith(AUTHOR)


def _state(silence: Mapping[str, Any]) -> str:
    return _text(a_map(silence.get("status")), "state")


def _silenced_by(alert: Mapping[str, Any]) -> list[str]:
    return [str(each) for each in a_list(a_map(alert.get("status")), "silencedBy")]


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _minutes_left(ends_at: str) -> int:
    try:
        return round((datetime.fromisoformat(ends_at) - datetime.now(UTC)).total_seconds() / 60)
    except (TypeError, ValueError):
        return 1


def _many(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
