"""The composition: the one file that sees every package. `running(settings)` is the whole service, started and stopped."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import ClientSession, web

from bot import baselines, charts, evidence, metrics, otel, tools, vitals, weekly
from bot.agent.world import World, log
from bot.anchors import FilePlace, GitPlace, Place, SlackPlace
from bot.config import Settings, is_loopback, pairs, variable
from bot.measure import Measures
from bot.models.rules import Rules
from bot.models.second_look import Checker
from bot.narrator import Narrator
from bot.notary import EVERY_SECONDS, Notary
from bot.plane import Plane
from bot.policy_files import PolicyFiles, announce, read_folder, variables
from bot.schedule import Job, Schedule
from bot.tools.mcp_file import McpServer, read_servers
from bot.tools.objectives_file import read_objectives
from domain.actions import Effect
from domain.decisions import SYSTEM
from domain.errors import BadInput, PolicyError, SettingsError
from domain.events import Draft, PolicyLoaded, PolicyRejected
from domain.ports import Chat, Journal, Model
from domain.work import Rollup
from handlers import channels, home, intake, recovery, slack_app
from handlers.chat import SlackChat
from handlers.directory import SlackDirectory
from handlers.lane import Pace
from handlers.sender import Sender
from handlers.services import Services
from handlers.socket_mode import SocketMode
from policies import noise
from policies.noise import Noise
from policies.redaction import Redactor
from storage.journal import SqliteJournal, open_journal
from storage.keys import Keys, read_keys, signing_key

SWEEP_SECONDS = 5.0
POLICY_SECONDS = 5.0
WEEKLY_SECONDS = 300.0  # how often it is looked whether the week's message is due


@dataclass(frozen=True)
class App:
    """The running service. `url` is where its HTTP server listens."""

    plane: Plane
    journal: SqliteJournal
    services: Services
    policy: PolicyFiles
    url: str
    readiness: Callable[[], Any]
    notary: Notary


@dataclass(frozen=True)
class _Opened:
    """What has been opened and has to be closed again."""

    slack: slack_app.Connection
    journal: SqliteJournal
    toolbox: tools.Toolbox
    policy: PolicyFiles
    channels: Mapping[str, str]
    redactor: Redactor
    model: Model
    checker: Checker | None
    measures: Measures
    keys: Keys


@asynccontextmanager
async def running(
    settings: Settings, *, pace: Pace | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[App]:
    """Everything that `serve` runs. Raises SettingsError, ChatError or JournalError with a sentence where it cannot start."""
    async with AsyncExitStack() as stack:
        opened = await _open(stack, settings, clock)
        plane, services, notary = _wire(opened, settings, pace, clock)
        bolt = slack_app.build(services, opened.slack, signing_secret=_http_secret(settings))
        jobs = (
            Job("expiry sweep", SWEEP_SECONDS, plane.sweep),
            Job("recovery", SWEEP_SECONDS, lambda: recovery.take_up(bolt, services)),
            Job("policy reload", POLICY_SECONDS, partial(reload_and_say, opened.policy, opened.journal, services.chat)),
            *_weekly_job(opened, services, settings, clock),
            *_scan_job(plane, services, settings, clock),
            Job("checkpoint", EVERY_SECONDS, notary.look),
        )
        schedule = Schedule(jobs)
        _begin_measuring(stack, opened, jobs)
        socket = _socket_mode(settings, bolt, services)
        readiness = _readiness(opened.journal, services.sender, socket, schedule, opened.policy, plane.narrator)
        routes = [
            *intake.routes(plane, settings.agent_alert_token.get_secret_value(), services.redact),
            *vitals.routes(readiness, vitals.refresher(opened.measures, plane, Path(settings.agent_database), clock)),
            *([] if socket else [slack_app.events_route(bolt, settings.slack_signing_secret.get_secret_value())]),
        ]
        stack.push_async_callback(services.sender.close)
        stack.push_async_callback(notary.stop)  # when nothing works any more, and while messages can still be sent
        await services.sender.start()  # first: it knows what may stand in Slack already
        await plane.start()
        stack.push_async_callback(plane.stop)
        await announce(opened.journal, services.chat)
        await notary.start()
        await stack.enter_async_context(vitals.watching_the_loop())
        stack.push_async_callback(services.work.drain)  # when nobody listens any more, and while the plane still works
        if again := await recovery.replay(bolt, services):
            log.info("handled %d payloads again that a crash had left", again)
        url = await stack.enter_async_context(_serving(routes, settings))
        if socket is not None:
            stack.push_async_callback(socket.close)
            await socket.start()
        await stack.enter_async_context(home.kept_current(services))
        schedule.start()
        stack.callback(schedule.stop)
        _settle_memory()
        for note in (*opened.toolbox.notes, *_warnings(settings, opened.policy, services.channel)):
            log.warning(note)
        log.info("ready", extra={"url": url, "model": plane.world.model.name, "mode": plane.mode.value})
        yield App(plane, opened.journal, services, opened.policy, url, readiness, notary)


def _begin_measuring(stack: AsyncExitStack, opened: _Opened, jobs: Sequence[Job]) -> None:
    changing = [tool.name for tool in opened.toolbox.tools if tool.effect is not Effect.READ]
    models = {opened.model.name, Rules().name}
    metrics.begin(changing, models, (job.name for job in jobs), vitals.LOGGERS)
    stack.enter_context(vitals.counting_surprises())


def _weekly_job(
    opened: _Opened, services: Services, settings: Settings, clock: Callable[[], datetime]
) -> Iterator[Job]:
    appointment = settings.weekly
    if appointment is None or not services.channel:
        return

    async def tell() -> None:
        with suppress(PolicyError):  # a folder that cannot be read has a notice of its own
            files = read_folder(settings.agent_policy)
            known = (files, opened.toolbox.schemas, variables(settings))
            await weekly.tell(opened.journal, services.chat, services.draw, clock(), appointment, *known)

    yield Job("weekly message", WEEKLY_SECONDS, tell, appointment)


def _scan_job(plane: Plane, services: Services, settings: Settings, clock: Callable[[], datetime]) -> Iterator[Job]:
    if settings.scan is not None and services.channel:
        yield Job("configuration scan", WEEKLY_SECONDS, partial(plane.scan_weekly, settings.scan, clock), settings.scan)


async def _open(stack: AsyncExitStack, settings: Settings, clock: Callable[[], datetime]) -> _Opened:
    signing_key(settings.signing_key)
    keys = read_keys(settings.signing_key)
    slack = await _connect_slack(settings, await stack.enter_async_context(slack_app.session(vitals.slack_trace())))
    measures = Measures()
    journal = await stack.enter_async_context(
        open_journal(settings.agent_database, slack.identity.team_id, clock=clock, watch=measures.committed)
    )
    await measures.start(journal, clock())
    found = systems(settings)
    redactor = _redactor(settings, found.mcp)
    await _export_traces(stack, settings, journal, redactor)
    toolbox = await tools.connect(
        found, settings.environment, journal.precedents, partial(journal.incidents, open_only=True)
    )
    stack.push_async_callback(toolbox.close)
    policy = PolicyFiles(settings.agent_policy, toolbox.schemas, variables(settings))
    await reload_policy(policy, journal)
    await baselines.tell(journal, settings.agent_baselines)
    rooms = [place.removeprefix("slack:") for place in settings.anchors if place.startswith("slack:")]
    resolved = await channels.resolve(slack.reading, [*_listened(settings), *rooms])
    models = _models(stack, settings)
    return _Opened(slack, journal, toolbox, policy, resolved, redactor, *models, measures, keys)


def _wire(
    opened: _Opened, settings: Settings, pace: Pace | None, clock: Callable[[], datetime]
) -> tuple[Plane, Services, Notary]:
    channel = opened.channels.get(settings.agent_channel, "")
    redact: Callable[[str], str] = partial(_redacted, opened.redactor)
    sender = Sender(opened.journal, opened.slack.posting, pace=pace)
    chat = SlackChat(opened.journal, sender, channel, redact, home=opened.slack.identity.url)
    directory = SlackDirectory(opened.slack.reading, opened.slack.identity.team_id)
    rules = Rules()

    def world(plane: Plane) -> World:
        return World(
            journal=opened.journal,
            chat=chat,
            directory=directory,
            tools={tool.name: tool for tool in opened.toolbox.tools},
            model=opened.model,
            rules=rules,
            redactor=opened.redactor,
            policy=lambda: opened.policy.current,
            environment=settings.environment,
            mode=lambda: plane.mode,
            paused=lambda: plane.paused,
            clock=clock,
            hour_micros=round(settings.agent_compute_price * 1e6) or None,
            checker=opened.checker,
            aside=plane.aside,
        )

    plane = Plane(
        world,
        workers=settings.agent_workers,
        channel=lambda: channel,
        default_mode=settings.agent_mode,
        alert_bots=_bots_by_channel(settings, opened.channels),
        policy_problems=lambda: opened.policy.problems,
        noise=_noise(settings),
    )
    services = Services(
        plane=plane,
        journal=opened.journal,
        chat=chat,
        sender=sender,
        directory=directory,
        client=opened.slack.reading,
        identity=opened.slack.identity,
        redact=redact,
        draw=_drawn,
        channel=channel,
        watched=tuple(dict.fromkeys(filter(None, map(opened.channels.get, _listened(settings))))),
        evidence=partial(
            evidence.of_reference, Path(settings.agent_database), opened.journal.workspace, settings.signing_key, clock
        ),
    )
    return plane, services, Notary(opened.journal, opened.keys, _places(settings, opened.channels, chat, sender))


def _places(settings: Settings, resolved: Mapping[str, str], chat: SlackChat, sender: Sender) -> list[Place]:
    """Where AGENT_ANCHORS has checkpoints copied to."""
    places: list[Place] = []
    for name in settings.anchors:
        kind, _, where = name.partition(":")
        if kind == "slack":
            places.append(SlackPlace(name, resolved.get(where, ""), chat, sender))
        else:
            places.append(GitPlace(name) if kind == "git" else FilePlace(name))
    return places


async def _drawn(rollup: Rollup) -> bytes:
    return await charts.drawn(partial(charts.weekly_png, rollup))


def _redacted(redactor: Redactor, text: str) -> str:
    return redactor.text(text).text


async def reload_and_say(policy: PolicyFiles, journal: SqliteJournal, chat: Chat) -> None:
    """Look at the policy files again; what is new of it is said in the channel as well."""
    if await reload_policy(policy, journal):
        await announce(journal, chat)


async def reload_policy(policy: PolicyFiles, journal: Journal) -> bool:
    """Look at the policy files again and record what came of it; whether there was anything new.

    A refused bundle leaves the last good one in force.
    """
    if not policy.reload():
        return False
    if policy.problems:
        log.error("the policy was refused", extra={"problems": "; ".join(policy.problems)})
        await journal.append(Draft(PolicyRejected(policy.problems), SYSTEM))
    else:
        rules = tuple(rule.id for rule in policy.current.rules)
        log.info("the policy is in force", extra={"policy": policy.current.hash[:12], "rules": str(len(rules))})
        await journal.append(Draft(PolicyLoaded(policy.current.hash, rules), SYSTEM))
    return True


def systems(settings: Settings) -> tools.Systems:
    """What the tools connect to."""
    return tools.Systems(
        kubeconfig=settings.kubeconfig,
        prometheus_url=settings.prometheus_url,
        prometheus_token=settings.prometheus_token.get_secret_value(),
        alertmanager_url=settings.alertmanager_url,
        alertmanager_token=settings.alertmanager_token.get_secret_value(),
        jenkins_url=settings.jenkins_url,
        jenkins_user=settings.jenkins_user,
        jenkins_token=settings.jenkins_token.get_secret_value(),
        gitlab_url=settings.gitlab_url,
        gitlab_token=settings.gitlab_token.get_secret_value(),
        mcp=read_servers(settings.agent_mcp, variable),
        runbooks=settings.agent_runbooks,
        objectives=read_objectives(settings.agent_objectives),
    )


def _redactor(settings: Settings, servers: Sequence[McpServer]) -> Redactor:
    """The marks of equal secrets are equal within one deployment: its key is made from a secret that it holds anyway."""
    seed = settings.slack_signing_secret.get_secret_value() or settings.slack_bot_token.get_secret_value()
    key = hashlib.sha256(b"redaction:" + seed.encode()).digest()
    held = (*settings.secrets(), *(value for server in servers for value in server.secrets))
    return Redactor(held, key, lambda kind, count: metrics.redactions.labels(kind).inc(count))


async def _connect_slack(settings: Settings, http: ClientSession) -> slack_app.Connection:
    token = settings.slack_bot_token.get_secret_value()
    if not token:
        raise SettingsError(
            "SLACK_BOT_TOKEN is not set: create the app from `personal-agent slack manifest`, install it, copy its token. "
            "`personal-agent demo` needs none."
        )
    return await slack_app.connect(token, settings.slack_api_url, http)


def _models(stack: AsyncExitStack, settings: Settings) -> tuple[Model, Checker | None]:
    """What answers, and what looks at its conclusions again."""
    if settings.model == "rules":
        return Rules(), None
    from bot.models.openai import connect  # heavy, and not needed where the rules answer alone

    key = settings.openai_api_key.get_secret_value()
    base, context = settings.openai_base_url, settings.openai_context
    model = connect(key, base, settings.openai_model, stream=True, context=context)
    stack.push_async_callback(model.aclose)
    check = settings.openai_check_model
    return model, Checker(check, model.complete) if check else None


def _noise(settings: Settings) -> Noise:
    try:
        return noise.parse(settings.agent_noise)
    except BadInput as error:
        raise SettingsError(f"AGENT_NOISE: {error}") from error


async def _export_traces(stack: AsyncExitStack, settings: Settings, journal: Journal, redactor: Redactor) -> None:
    """Finished runs as traces, where an endpoint is set."""
    if not settings.otel_exporter_otlp_endpoint:
        return
    endpoint = otel.Endpoint(
        settings.otel_exporter_otlp_endpoint,
        settings.otlp_headers,
        settings.otel_exporter_otlp_certificate,
        settings.otel_exporter_otlp_timeout,
        settings.otel_service_name,
        {name: unquote(value) for name, value in pairs(settings.otel_resource_attributes)},
    )
    host = urlsplit(settings.openai_base_url).hostname or ""
    provider = "openai" if host.endswith("openai.com") else host
    content = partial(_redacted, redactor) if settings.agent_trace_content else None
    await stack.enter_async_context(otel.exporting(journal, endpoint, provider, content))


def _http_secret(settings: Settings) -> str:
    """The signing secret where Slack comes by HTTP; Socket Mode authenticates by its connection."""
    return "" if settings.slack_app_token.get_secret_value() else settings.slack_signing_secret.get_secret_value()


def _socket_mode(settings: Settings, bolt: Any, services: Services) -> SocketMode | None:
    token = settings.slack_app_token.get_secret_value()
    return SocketMode(bolt, services, token, settings.slack_api_url) if token else None


def _listened(settings: Settings) -> list[str]:
    """The channels, as they are set, where alert messages and questions are looked for."""
    return [settings.agent_channel, *(channel for channel, _ in _alert_bots(settings))]


def _alert_bots(settings: Settings) -> list[tuple[str, str]]:
    return pairs(settings.agent_alert_bots)


def _bots_by_channel(settings: Settings, names: Mapping[str, str]) -> Callable[[str], Sequence[str]]:
    allowed: dict[str, list[str]] = {}
    for name, bot in _alert_bots(settings):
        allowed.setdefault(names.get(name, name), []).append(bot)
    return lambda channel: allowed.get(channel, ())


def _warnings(settings: Settings, policy: PolicyFiles, channel: str) -> list[str]:
    found = []
    if not channel:
        found.append("AGENT_CHANNEL is not set or not found: incidents open nowhere in Slack until it is")
    if not settings.approvers and not policy.problems:
        found.append("AGENT_APPROVERS is empty: nobody can approve anything")
    if policy.problems:
        found.append("the policy was refused, so everything is denied: personal-agent policy check says why")
    return found


# --- HTTP -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _serving(routes: Sequence[web.RouteDef], settings: Settings) -> AsyncIterator[str]:
    application = web.Application(client_max_size=2 * 1024 * 1024, middlewares=[vitals.measured])
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.agent_host, settings.agent_port)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"AGENT_HOST:AGENT_PORT {settings.agent_host}:{settings.agent_port} cannot be bound: {error.strerror}"
            ) from error
        host = "127.0.0.1" if is_loopback(settings.agent_host) else settings.agent_host
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _readiness(
    journal: Journal,
    sender: Sender,
    socket: SocketMode | None,
    schedule: Schedule,
    policy: PolicyFiles,
    narrator: Narrator,
) -> Callable[[], Any]:
    """What is not as it should be, one sentence each; empty means ready."""

    async def problems() -> list[str]:
        found = list(sender.problems())
        if socket is not None and not await socket.connected():
            found.append("Slack is not connected (Socket Mode)")
        if not schedule.running:
            found.append("the schedule does not run")
        if not narrator.running:
            found.append("the messages of incidents are not kept up to date")
        found += [f"policy: {problem}" for problem in policy.problems]
        try:
            await journal.control()
        except Exception as error:  # noqa: BLE001 – the HTTP boundary: whatever it is, the answer is "not ready"
            found.append(f"the database does not answer: {error}")
        return found

    return problems


def _settle_memory() -> None:
    """What was loaded for good is no garbage: not walking it again makes large Kubernetes lists several times cheaper."""
    gc.collect()
    gc.freeze()
