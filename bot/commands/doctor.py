"""`personal-agent doctor`: every part that has to work, looked at; a sentence and a fix for each."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from bot import tools
from bot.app import systems
from bot.commands import proof, reach
from bot.config import Settings, load
from bot.policy_files import PolicyFiles, known_tools, variables
from bot.tools.kubernetes_access import READS, WRITES, Permission, lacking
from bot.tools.mcp_session import McpSession
from bot.tools.mcp_tools import tools_of
from domain.errors import AgentError
from handlers import channels, checkup, slack_app
from handlers.checkup import Answer

LEAKS = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")
CLUSTER_SECONDS = 15.0


def run(_options: argparse.Namespace) -> int:
    """0 where everything is well, 1 where something is not."""
    settings = load()
    print("✓ settings: they can be read")
    return asyncio.run(_report(settings))


async def _report(settings: Settings) -> int:
    bad = 0
    async for answer in _answers(settings):
        bad += not answer.ok
        print(f"{'✓' if answer.ok else '✗'} {answer.name}: {answer.sentence}")
        if answer.fix:
            print(f"    fix: {answer.fix}")
    print(f"\n{bad} problem{'s' * (bad != 1)}" if bad else "\nall is well")
    return 1 if bad else 0


async def _answers(settings: Settings) -> AsyncIterator[Answer]:
    yield _environment()
    async for answer in proof.answers(settings):
        yield answer
    yield _policy(settings)
    async for answer in _slack(settings):
        yield answer
    yield await _cluster(settings)
    async for answer in _strangers(settings):
        yield answer
    yield await _model(settings)
    yield await reach.prometheus(settings)
    yield await reach.alertmanager(settings)
    yield await reach.objectives(settings)
    yield await reach.jenkins(settings)
    yield await reach.gitlab(settings)
    yield await reach.traces(settings)


def _environment() -> Answer:
    leaked = [name for name in LEAKS if name in os.environ]
    if leaked:
        return Answer(
            "environment", ok=True, sentence=f"{', '.join(leaked)} is set and not used: this app has no OAuth mode"
        )
    return Answer("environment", ok=True, sentence="nothing in it gets in the way")


def _policy(settings: Settings) -> Answer:
    files = PolicyFiles(settings.agent_policy, known_tools(settings), variables(settings))
    files.reload()
    if files.problems:
        return Answer(
            "policy", ok=False, sentence=files.problems[0], fix="personal-agent policy check lists every problem"
        )
    return Answer("policy", ok=True, sentence=f"{len(files.current.rules)} rules, policy {files.current.hash[:12]}")


async def _slack(settings: Settings) -> AsyncIterator[Answer]:
    token = settings.slack_bot_token.get_secret_value()
    if not token:
        fix = "create the app from personal-agent slack manifest, install it, copy the bot token"
        yield Answer("slack", ok=False, sentence="SLACK_BOT_TOKEN is not set", fix=fix)
        return
    try:
        connection = await slack_app.connect(token, settings.slack_api_url)
        wanted = [settings.agent_channel] if settings.agent_channel else []
        found = await channels.resolve(connection.reading, wanted)
    except AgentError as error:
        yield Answer("slack", ok=False, sentence=str(error))
        return
    yield Answer(
        "slack", ok=True, sentence=f"connected to {connection.identity.team} as {connection.identity.bot_user_id}"
    )
    if not settings.slack_app_token.get_secret_value() and not settings.slack_signing_secret.get_secret_value():
        fix = "set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP)"
        yield Answer("slack events", ok=False, sentence="neither Socket Mode nor HTTP events are set up", fix=fix)
    names = {name: found.get(name, "") for name in wanted}
    if not names:
        yield Answer(
            "channel", ok=False, sentence="AGENT_CHANNEL is not set", fix="name the channel where incidents open"
        )
    app_token = settings.slack_app_token.get_secret_value()
    async for answer in checkup.check(connection, app_token, settings.slack_api_url, names, settings.approvers):
        yield answer


async def _cluster(settings: Settings) -> Answer:
    try:
        toolbox = await tools.connect(systems(settings), settings.environment)
    except AgentError as error:
        return Answer("kubernetes", ok=False, sentence=str(error), fix="check KUBECONFIG")
    client = toolbox.clients.kubernetes
    if client is None:
        return Answer("kubernetes", ok=True, sentence=" ".join(toolbox.notes))
    try:
        async with asyncio.timeout(CLUSTER_SECONDS):
            blind, bound = await lacking(client, READS), await lacking(client, WRITES)
    except (AgentError, TimeoutError) as error:
        fix = "check the address in KUBECONFIG and that this machine reaches it"
        return Answer("kubernetes", ok=False, sentence=str(error) or "no answer in time", fix=fix)
    finally:
        await toolbox.close()
    if blind:
        fix = "apply the read role of deploy/rbac.yaml"
        return Answer("kubernetes", ok=False, sentence=f"it may not {_permissions(blind)}", fix=fix)
    if bound:
        sentence = f"everything can be read; cluster-wide it may not {_permissions(bound)} (fine where roles are per namespace)"
        return Answer("kubernetes", ok=True, sentence=sentence)
    return Answer("kubernetes", ok=True, sentence="everything can be read, and changed in every namespace")


async def _strangers(settings: Settings) -> AsyncIterator[Answer]:
    """The MCP servers: whether each answers, and what is known of its tools."""
    for server in systems(settings).mcp:
        session = McpSession(server)
        try:
            await session.connect()
        except AgentError as error:
            yield Answer(f"mcp {server.name}", ok=False, sentence=str(error), fix="check its entry in AGENT_MCP")
            continue
        finally:
            await session.close()
        found, notes = tools_of(session)
        unlisted = [tool.remote for tool in found if tool.remote not in server.tools]
        sentence = f"{len(found)} tools" + (
            f"; not listed, so destructive: {', '.join(unlisted[:8])}" if unlisted else ""
        )
        yield Answer(
            f"mcp {server.name}",
            ok=not notes,
            sentence=" ".join((sentence, *notes)),
            fix="" if not notes else "review AGENT_MCP",
        )


def _permissions(permissions: Sequence[Permission]) -> str:
    listed = [f"{permission.verb} {permission.rule[1]}" for permission in permissions]
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")


async def _model(settings: Settings) -> Answer:
    if settings.model == "rules":
        return Answer("model", ok=True, sentence="the built-in rules answer alone (no OPENAI_API_KEY)")
    import openai  # heavy, and only where a model is configured

    client = openai.AsyncOpenAI(
        api_key=settings.openai_api_key.get_secret_value(), base_url=settings.openai_base_url, timeout=10, max_retries=0
    )
    try:
        await client.models.retrieve(settings.openai_model)
    except openai.NotFoundError:
        return Answer(
            "model", ok=False, sentence=f"the server does not know {settings.openai_model}", fix="check OPENAI_MODEL"
        )
    except openai.AuthenticationError:
        return Answer("model", ok=False, sentence="the server refuses the key", fix="check OPENAI_API_KEY")
    except openai.OpenAIError as error:
        fix = "check OPENAI_BASE_URL; the built-in rules answer meanwhile"
        return Answer("model", ok=False, sentence=f"the server does not answer ({type(error).__name__})", fix=fix)
    finally:
        await client.close()
    return Answer("model", ok=True, sentence=f"{settings.openai_model} is served")
