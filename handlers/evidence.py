"""The Evidence button of a finished incident: the archive goes into the incident's thread, and the journal says who took it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.alerts import Incident
from domain.decisions import Actor
from domain.errors import AgentError, BadInput, ChatError, NotAllowed
from domain.events import Draft, SurfaceShown
from domain.evidence import EvidenceFile
from domain.ports import Person
from handlers import kit
from handlers.payloads import where
from handlers.services import Services

BUTTON = "incident.evidence"
Payload = dict[str, Any]


def register(app: AsyncApp, services: Services) -> None:
    """The button."""
    under_way: set[str] = set()

    @app.action(BUTTON)
    async def on_evidence(ack: AsyncAck, body: Payload) -> None:
        await ack()
        action = body["actions"][0]
        lane = f"evidence:{action.get('action_ts')}:{where(body)[0]}"
        services.do(lane, "", body, lambda: _once(services, body, under_way))


async def _once(services: Services, body: Payload, under_way: set[str]) -> None:
    """One upload at a time for each incident: who clicks meanwhile gets the same file, in the same thread."""
    incident_id = str(body["actions"][0].get("value") or "")
    if incident_id in under_way:
        raise BadInput("The evidence of this incident is on its way into its thread already.")
    under_way.add(incident_id)
    try:
        await _hand_over(services, body, incident_id)
    finally:
        under_way.discard(incident_id)


async def _hand_over(services: Services, body: Payload, incident_id: str) -> None:
    person = await services.directory.person(where(body)[0])
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may take the evidence ({person.why_not.rstrip('.')}).")
    incident = await _finished(services, incident_id)
    said = f"evidence:{body['actions'][0].get('action_ts')}"
    await services.chat.notice(incident_id, said, f"📜 {person.name} asked for the evidence. Putting it together …")
    try:
        file = await _made(services, incident_id)
        await _recorded(services, incident, person, file)
        await services.sender.file(
            file.name,
            file.content,
            title=f"Evidence of {kit.line(file.title, 150)}",
            comment=_comment(person, file),
            channel=incident.channel,
            thread_ts=incident.thread_ts,
        )
    except AgentError as error:
        refusal = _refusal(error, incident_id) if isinstance(error, ChatError) else str(error)
        await services.chat.notice(incident_id, said, f"📜 {person.name} asked for the evidence. {refusal}")
        raise BadInput(refusal) from error
    done = f"📜 {person.name} asked for the evidence: {kit.plural(file.events, 'event')}, in {file.name}."
    await services.chat.notice(incident_id, said, done)


async def _finished(services: Services, incident_id: str) -> Incident:
    """The incident, if nothing more will be added to its story."""
    incident = await services.journal.incident(incident_id)
    if incident is None:
        raise BadInput("This incident is not known here any more.")
    if incident.open or await services.journal.runs(incident_id=incident_id, unfinished=True, limit=1):
        raise BadInput("This incident is not over: its evidence would miss its end. Ask again once it is resolved.")
    return incident


async def _made(services: Services, incident_id: str) -> EvidenceFile:
    file = await services.evidence(incident_id)
    if file is None:
        raise BadInput("There was no run in this incident, so there is no evidence of one.")
    return file


async def _recorded(services: Services, incident: Incident, person: Person, file: EvidenceFile) -> None:
    """Who took what, before it leaves."""
    content = {
        "file": file.name,
        "sha256": sha256(file.content).hexdigest(),
        "bytes": len(file.content),
        "events": file.events,
        "thread_ts": incident.thread_ts,
    }
    shown = SurfaceShown("evidence", person.id, incident.channel, content)
    await services.journal.append(Draft(shown, Actor("person", person.id), incident.id))


def _comment(person: Person, file: EvidenceFile) -> str:
    """What stands above the file."""
    return (
        f"📜 *Evidence* for {kit.person(person.id)}. {kit.safe(file.verdict, 600)}\n"
        f"{kit.plural(file.events, 'event')} with their proofs, a timeline to read and to print, and verify.py, which checks "
        f"all of it.\nPublic key {kit.code(file.public_key, 80)}"
    )


def _refusal(error: ChatError, incident_id: str) -> str:
    """What to do where Slack took no file."""
    instead = f"personal-agent audit export {incident_id} writes the same file on the agent's host."
    if error.code == "missing_scope":
        return (
            "Slack does not let this app upload files: it lacks the scope files:write. Install the app again from "
            f"personal-agent slack manifest. Until then, {instead}"
        )
    return f"Slack did not take the file ({error.code or 'no answer'}): {instead}"
