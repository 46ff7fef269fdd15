"""`personal-agent replay`: a recorded run told again, or gone through again by today's code, another policy, another model."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot import logs
from bot.commands.backtest import show_progress
from bot.commands.roi import period
from bot.config import Settings, load
from bot.models.openai import connect
from bot.models.rules import NAME as RULES, Rules
from bot.policy_files import known_tools, read_folder, variables
from bot.replay.compared import as_json, compare, missing
from bot.replay.many import as_json as many_as_json, rows, totals
from bot.replay.page import page_of
from bot.replay.report import count, report, summary, table
from bot.replay.rerun import How
from bot.replay.story import story
from bot.replay.terminal import paper_for
from bot.tools import unconnected
from domain.alerts import Incident
from domain.errors import AgentError, SettingsError
from domain.events import RunStarted
from policies.policy import load as load_policy
from policies.redaction import Redactor
from policies.rules import Policy
from storage.evidence.export import page_of as page_of_run
from storage.reader import read_journal, workspaces_in
from storage.records import RunRecord

RECENT = 500
"""Runs that a misspelt name is compared with."""


def run(options: argparse.Namespace) -> int:
    """0 for a story and where nothing is otherwise, 1 where something is. Raises SettingsError for a use that means nothing."""
    _refuse_nonsense(options)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # the same bytes, whatever the locale
    logs.configure(lambda text: text, level=40)
    settings = load()
    if options.since:
        return asyncio.run(_many(settings, options))
    workspace, run_id = find(settings.agent_database, options.run)
    if _tries(options):
        return asyncio.run(_again(settings, options, workspace, run_id))
    if options.html:
        _write(options.html, page_of_run(settings.agent_database, workspace, run_id))
        return 0
    record, incident = asyncio.run(_read(settings.agent_database, workspace, run_id))
    for line in (*story(record.own, incident, paper_for(sys.stdout)), *missing(record)):
        print(line)
    return 0


def _write(path: str, page: str) -> None:
    """A page as a file. Raises SettingsError where it cannot be written."""
    try:
        Path(path).write_text(page, "utf-8")
    except OSError as error:
        raise SettingsError(f"--html: {path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}")


def _tries(options: argparse.Namespace) -> bool:
    return bool(options.policy or options.model or options.code)


def _refuse_nonsense(options: argparse.Namespace) -> None:
    if bool(options.run) == bool(options.since):
        raise SettingsError("name a RUN, or several by --since 30d; `personal-agent runs` lists them")
    if options.since and not _tries(options):
        raise SettingsError("--since needs what is tried: --model NAME, --policy PATH or --code")
    if options.since and options.html:
        raise SettingsError("--html is a page of one RUN; --json has the table for a program")
    if options.json and options.html:
        raise SettingsError("--json prints and --html writes: ask for one of them")
    if options.json and not _tries(options):
        raise SettingsError("--json is for what is tried; `personal-agent runs RUN --json` has a run's events")


# --- trying -----------------------------------------------------------------------------------------------------------


async def _again(settings: Settings, options: argparse.Namespace, workspace: str, run_id: str) -> int:
    """One run."""
    record, _ = await _read(settings.agent_database, workspace, run_id)
    async with _trying(settings, options) as how:
        compared = await compare(record, how)
    if options.html:
        _write(options.html, page_of(compared, how))
    elif options.json:
        print(json.dumps(as_json(compared, how), ensure_ascii=False, sort_keys=True))
    else:
        print("\n".join(report(compared, how, paper_for(sys.stdout))))
    return 1 if compared.differences else 0


async def _many(settings: Settings, options: argparse.Namespace) -> int:
    """Every finished run of the period, a workspace after the other."""
    until = datetime.now(UTC)
    since, otherwise = until - period(options.since), False
    async with _trying(settings, options) as how:
        for workspace in workspaces_in(settings.agent_database):
            async with read_journal(settings.agent_database, workspace) as journal:
                names = await journal.runs_between(since, until)
                found = await rows(names, journal.record, how, settings.agent_workers, show_progress)
            otherwise |= any(row.is_otherwise(tried_model=how.model is not None) for row in found)
            if options.json:
                print(json.dumps(many_as_json(workspace, found, how), ensure_ascii=False, sort_keys=True))
                continue
            runs, policy = count(len(found), "finished run"), how.policy.hash[:12]
            print(f"{workspace}: {runs} since {since:%Y-%m-%d %H:%M} UTC, policy {policy}")
            print("\n".join([*table(found, paper_for(sys.stdout)), "", *summary(totals(found))]))
    return 1 if otherwise else 0


@asynccontextmanager
async def _trying(settings: Settings, options: argparse.Namespace) -> AsyncIterator[How]:
    """What the options try; everything else is today's, or as it was recorded. A model's connections end on the way out."""
    policy = _policy(settings, options.policy)
    tools = {tool.name: tool for tool in unconnected(settings.environment)}
    how = How(policy, tools, settings.environment, redactor=Redactor(settings.secrets()))
    if not options.model:
        yield how
    elif options.model == RULES:
        yield replace(how, model=Rules())
    else:
        key = settings.openai_api_key.get_secret_value()
        if not key:
            raise SettingsError(
                f"--model {options.model} needs OPENAI_API_KEY, and OPENAI_BASE_URL where it is not OpenAI's; "
                "`--model rules` needs neither"
            )
        model = connect(key, settings.openai_base_url, options.model, stream=True, context=settings.openai_context)
        try:
            yield replace(how, model=model)
        finally:
            await model.aclose()


def _policy(settings: Settings, folder: str) -> Policy:
    """That of a folder, or the one in force. Raises SettingsError, PolicyError."""
    if folder and not Path(folder).is_dir():
        raise SettingsError(f"--policy: {folder} is not a folder; name the folder that holds the policy's YAML files")
    return load_policy(read_folder(folder or settings.agent_policy), known_tools(settings), variables(settings))


# --- which run --------------------------------------------------------------------------------------------------------


def find(path: str, name: str) -> tuple[str, str]:
    """The workspace and the id of the run that a name, or the unique beginning of one, means. Raises AgentError."""
    found, near = asyncio.run(_named(path, name))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(run_id for _, run_id in found[:5])
        raise AgentError(f"{name} is the beginning of {len(found)} runs: {listed}{'…' * (len(found) > 5)}")
    hint = f"; near it are {', '.join(near)}" if near else "; `personal-agent runs` lists the recent ones"
    raise AgentError(f"there is no run {name} in {path}{hint}")


async def _named(path: str, name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Every run that is meant, the exact one alone where there is one; and where none is, those that are named nearly so."""
    found: list[tuple[str, str]] = []
    recent: list[str] = []
    for workspace in workspaces_in(path):
        async with read_journal(path, workspace) as journal:
            for beginning in dict.fromkeys((name, f"run-{name}")):
                found += [(workspace, run_id) for run_id in await journal.run_ids(beginning)]
            recent += [] if found else [row.spec.id for row in await journal.runs(limit=RECENT)]
    exact = [each for each in found if each[1] == name]
    return exact or found, difflib.get_close_matches(name, recent, n=3, cutoff=0.5)


async def _read(path: str, workspace: str, run_id: str) -> tuple[RunRecord, Incident | None]:
    """Raises AgentError where there is nothing of it that this version can read."""
    async with read_journal(path, workspace) as journal:
        record = await journal.record(run_id)
        if record is None or not record.own:
            raise AgentError(f"there is nothing of run {run_id} that this version can read")
        first = record.own[0].event
        incident_id = first.spec.incident_id if isinstance(first, RunStarted) else ""
        return record, await journal.incident(incident_id) if incident_id else None
