"""The tools: what the model may ask for, what policy decides on, what runs. Each vendor's are in files of its name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bot.tools.alertmanager import alertmanager_tools, open_alertmanager
from bot.tools.gitlab_client import GitLabClient
from bot.tools.gitlab_reads import read_tools as gitlab_reads
from bot.tools.gitlab_writes import gitlab_writes
from bot.tools.jenkins_abort import abort_tool
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.jenkins_reads import read_tools as jenkins_reads
from bot.tools.jenkins_trigger import trigger_tool
from bot.tools.knowledge import Open, Recall, knowledge_tools
from bot.tools.kubernetes_client import KubernetesClient, open_client
from bot.tools.kubernetes_reads import read_tools
from bot.tools.kubernetes_writes import write_tools
from bot.tools.mcp_file import McpServer
from bot.tools.mcp_session import McpSession
from bot.tools.mcp_tools import McpRead, McpWrite, listed_schemas, tools_of, unique
from bot.tools.objectives import Watch, error_budget_tool
from bot.tools.objectives_file import Objective
from bot.tools.prometheus import prometheus_tools
from bot.tools.prometheus_api import open_prometheus
from bot.tools.rest import RestClient
from bot.tools.runbooks import Runbooks
from domain.errors import ToolError
from domain.ports import Tool
from policies.schema import ToolSchema

TOOL_NAMES: tuple[str, ...] = (
    "kubernetes_get",
    "kubernetes_list",
    "kubernetes_events",
    "kubernetes_logs",
    "kubernetes_rollout_history",
    "kubernetes_rollback",
    "kubernetes_restart",
    "kubernetes_scale",
    "kubernetes_set_resources",
    "kubernetes_cordon",
    "kubernetes_patch",
    "kubernetes_delete_pod",
    "jenkins_builds",
    "jenkins_build",
    "jenkins_trigger",
    "jenkins_abort",
    "gitlab_pipelines",
    "gitlab_pipeline",
    "gitlab_compare",
    "gitlab_retry_pipeline",
    "gitlab_cancel_pipeline",
    "gitlab_play_job",
    "gitlab_open_merge_request",
    "incident_history",
    "incident_list",
    "runbook_find",
    "prometheus_query",
    "prometheus_query_range",
    "prometheus_alerts",
    "prometheus_error_budget",
    "alertmanager_silence",
)

NO_CLUSTER = "No cluster: set KUBECONFIG to a kubeconfig, or run inside a cluster with a service account."


@dataclass(frozen=True)
class Systems:
    """Where the systems are, and what to show them; empty where one is not configured.

    `kubeconfig` is a path (or several, as kubectl reads them), empty for the pod's service account where there is one.
    """

    kubeconfig: str = ""
    prometheus_url: str = ""
    prometheus_token: str = ""
    alertmanager_url: str = ""
    alertmanager_token: str = ""
    jenkins_url: str = ""
    jenkins_user: str = ""
    jenkins_token: str = ""
    gitlab_url: str = ""
    gitlab_token: str = ""
    mcp: tuple[McpServer, ...] = ()
    runbooks: str = ""
    objectives: tuple[Objective, ...] = ()


@dataclass(frozen=True)
class Clients:
    """The connections that tools work through; None where a system is not configured. A new system is a field here."""

    kubernetes: KubernetesClient | None = None
    jenkins: JenkinsClient | None = None
    prometheus: RestClient | None = None
    alertmanager: RestClient | None = None
    gitlab: GitLabClient | None = None


@dataclass(frozen=True)
class Toolbox:
    """The tools of the configured systems, and a sentence on each system that is not. `close` it at the end."""

    tools: tuple[Tool, ...]
    notes: tuple[str, ...]
    clients: Clients
    strangers: tuple[McpSession, ...] = ()

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """Every tool as policy sees it: ours whether or not its system is configured, and those of the MCP servers."""
        own = schemas()
        known = {schema.name for schema in own}
        others = (tool for tool in self.tools if tool.name not in known)
        return (*own, *(ToolSchema(tool.name, tool.effect, tool.parameters) for tool in others))

    async def close(self) -> None:
        """End the connections."""
        for client in (*vars(self.clients).values(), *self.strangers):
            if client is not None:
                await client.close()


async def connect(
    systems: Systems, environment: Callable[..., str], recall: Recall | None = None, opened: Open | None = None
) -> Toolbox:
    """The tools of what is configured. Raises SettingsError where a setting cannot be used; asks MCP servers only.

    `recall` finds earlier incidents in the journal, `opened` those that are open.
    """
    notes: tuple[str, ...] = ()
    kubernetes = None
    if systems.kubeconfig or os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubernetes = await open_client(systems.kubeconfig)
    else:
        notes += (NO_CLUSTER,)
    known = knowledge_tools(recall, Runbooks(systems.runbooks) if systems.runbooks else None, opened)
    prometheus = open_prometheus(systems.prometheus_url, systems.prometheus_token) if systems.prometheus_url else None
    told = (systems.alertmanager_url, systems.alertmanager_token)
    alertmanager = open_alertmanager(*told) if systems.alertmanager_url else None
    gitlab = GitLabClient(systems.gitlab_url, systems.gitlab_token) if systems.gitlab_url else None
    clients = Clients(kubernetes, _jenkins(systems), prometheus, alertmanager, gitlab)
    strangers, others, more = await _meet(systems.mcp)
    built = build_tools(clients, environment, systems.objectives)
    return Toolbox((*built, *known, *others), (*notes, *more), clients, strangers)


def _jenkins(systems: Systems) -> JenkinsClient | None:
    if not systems.jenkins_url:
        return None
    return JenkinsClient(systems.jenkins_url, systems.jenkins_user, systems.jenkins_token)


async def _meet(servers: Sequence[McpServer]) -> tuple[tuple[McpSession, ...], tuple[Tool, ...], tuple[str, ...]]:
    """Connect to MCP servers, all at once. One that does not answer is a note: its tools are missing, nothing else."""
    sessions = tuple(McpSession(server) for server in servers)
    ends = await asyncio.gather(*(session.connect() for session in sessions), return_exceptions=True)
    tools, notes = list[McpRead | McpWrite](), list[str]()
    for session, end in zip(sessions, ends, strict=True):
        if isinstance(end, ToolError):
            notes.append(f"{end} Its tools are missing until the agent is started again.")
        elif isinstance(end, BaseException):
            raise end
        found, said = tools_of(session)
        tools += found
        notes += said if not isinstance(end, ToolError) else ()
    kept, twice = unique(tools)
    return sessions, kept, (*notes, *twice)


def build_tools(
    clients: Clients, environment: Callable[..., str], objectives: Sequence[Objective] = ()
) -> tuple[Tool, ...]:
    """Every tool of the systems there are; `environment` names the environment of a namespace or of other places."""
    tools: tuple[Tool, ...] = ()
    if clients.kubernetes is not None:
        tools += read_tools(clients.kubernetes, environment) + write_tools(clients.kubernetes, environment)
    if (jenkins := clients.jenkins) is not None:
        tools += (
            *jenkins_reads(jenkins, environment),
            trigger_tool(jenkins, environment),
            abort_tool(jenkins, environment),
        )
    if clients.gitlab is not None:
        watch = Watch(clients.prometheus, objectives) if clients.prometheus is not None and objectives else None
        tools += gitlab_reads(clients.gitlab, environment)
        tools += gitlab_writes(clients.gitlab, environment, watch)
    if clients.prometheus is not None:
        tools += prometheus_tools(clients.prometheus, environment)
        tools += (error_budget_tool(clients.prometheus, objectives, environment),) if objectives else ()
    if clients.alertmanager is not None:
        tools += alertmanager_tools(clients.alertmanager, environment)
    return tools


def unconnected(environment: Callable[..., str]) -> tuple[Tool, ...]:
    """Every tool of this product, connected to nothing: what it is called, takes and is about, and no more."""
    nothing: Any = object()  # names, effects, argument schemas and renderings need no client; whatever does fails
    clients = Clients(*[nothing] * len(fields(Clients)))
    return (*build_tools(clients, environment, (nothing,)), *knowledge_tools(nothing, nothing, nothing))


def schemas(servers: Sequence[McpServer] = ()) -> tuple[ToolSchema, ...]:
    """Every tool of this product as policy sees it, whether or not its system is configured here.

    With `servers`, also what the operator's file says of their tools; nobody is asked.
    """
    own = tuple(ToolSchema(tool.name, tool.effect, tool.parameters) for tool in unconnected(lambda *_: "production"))
    return (*own, *listed_schemas(servers))
