"""Settings: every environment variable, with its unit and the reason for its default.

This is the only module that reads the environment. An unknown AGENT_ name is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from domain.actions import Mode
from domain.errors import SettingsError
from domain.estimates import parse_baselines
from domain.weeks import Appointment, appointment

_PLACE = re.compile(r"file:[^#]+|git:[^#]+#(?!-)[\w./-]+|slack:#?[^\s#]+")


class Settings(BaseModel):
    """Everything that can be set. Field names are the environment variables' names in lower case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slack_bot_token: SecretStr = Field(SecretStr(""), description="Bot token, xoxb-…")
    slack_app_token: SecretStr = Field(
        SecretStr(""), description="App-level token, xapp-…: Socket Mode when set, else HTTP events"
    )
    slack_signing_secret: SecretStr = Field(
        SecretStr(""), description="Signing secret: required without SLACK_APP_TOKEN"
    )
    slack_api_url: str = Field(
        "https://slack.com/api/", description="Another Slack Web API base URL; loopback or https only"
    )

    openai_api_key: SecretStr = Field(
        SecretStr(""), description="Key for the model; without it the built-in rules answer"
    )
    openai_base_url: str = Field("https://api.openai.com/v1", description="Any server that speaks chat completions")
    openai_model: str = Field("gpt-5-mini", description="Model name as that server knows it")
    openai_check_model: str = Field(
        "", description="A cheaper model for a second look at each conclusion; empty: code alone checks it"
    )
    openai_context: int = Field(
        0, ge=0, le=10_000_000, description="Tokens that the model takes at once; 0: what its name tells"
    )

    kubeconfig: str = Field("", description="Path of a kubeconfig; empty means in-cluster, or no cluster")

    prometheus_url: str = Field("", description="Prometheus base URL")
    prometheus_token: SecretStr = Field(SecretStr(""), description="Bearer token for Prometheus")
    alertmanager_url: str = Field("", description="Alertmanager base URL")
    alertmanager_token: SecretStr = Field(SecretStr(""), description="Bearer token for Alertmanager")
    jenkins_url: str = Field("", description="Jenkins base URL")
    jenkins_user: str = Field("", description="Jenkins user of the token")
    jenkins_token: SecretStr = Field(SecretStr(""), description="Jenkins API token")
    gitlab_url: str = Field("", description="GitLab base URL")
    gitlab_token: SecretStr = Field(
        SecretStr(""), description="GitLab access token: scope read_api to look, api to change too"
    )

    otel_exporter_otlp_endpoint: str = Field(
        "", description="Base URL of an OTLP/HTTP collector; finished runs go to its /v1/traces. Empty: nowhere"
    )
    otel_exporter_otlp_protocol: str = Field("http/protobuf", description="The one protocol that is spoken")
    otel_exporter_otlp_headers: SecretStr = Field(
        SecretStr(""), description="Headers of each export, name=value, comma separated, URL-encoded: credentials"
    )
    otel_exporter_otlp_certificate: str = Field("", description="Path of the CA certificate that the collector's is of")
    otel_exporter_otlp_timeout: float = Field(10.0, gt=0, le=300, description="Time limit of one export, seconds")
    otel_service_name: str = Field("personal-agent", description="service.name of the traces")
    otel_resource_attributes: str = Field("", description="Further resource attributes, name=value, comma separated")

    agent_database: str = Field("personal-agent.db", description="Path of the SQLite journal")
    agent_signing_key: str = Field(
        "", description="PEM file of the key that signs checkpoints, made at the first start; empty: AGENT_DATABASE.key"
    )
    agent_anchors: str = Field(
        "",
        description="Where checkpoints are copied to, comma separated: file:PATH, git:REPOSITORY#BRANCH, slack:#channel",
    )
    agent_host: str = Field("127.0.0.1", description="Address that the HTTP server binds")
    agent_port: int = Field(8080, ge=0, le=65535, description="Port that the HTTP server binds; 0 picks a free one")
    agent_alert_token: SecretStr = Field(
        SecretStr(""), description="Bearer token for the webhooks; required unless AGENT_HOST is loopback"
    )
    agent_channel: str = Field("", description="Channel where incidents open: #name or id")
    agent_alert_bots: str = Field(
        "",
        description="Whose messages are alerts: channel=bot or app id, comma separated (#alerts=B0123,#alerts=A0456)",
    )
    agent_policy: str = Field("", description="Folder of policy files; empty means the shipped policy")
    agent_approvers: str = Field(
        "",
        description="Group approvers of the shipped policy: @user-groups, e-mail addresses or user ids, comma separated",
    )
    agent_mode: Mode = Field(
        Mode.PROPOSE,
        description="observe: can never execute; propose: every change asks; act: policy decides",
    )
    agent_model: str = Field("", description="openai or rules; empty means openai when a key is set")
    agent_trace_content: bool = Field(
        False, description="Whether traces carry prompts, tool arguments and results too, redacted"
    )
    agent_workers: int = Field(4, ge=1, le=256, description="Runs that advance at the same time")
    agent_noise: str = Field(
        "debounce=10s,max-wait=60s,cooldown=15m,storm=10/5m",
        description="How long repeated alerts wait, and how many new problems within what time are one storm",
    )
    agent_runbooks: str = Field("", description="Folder of the team's runbooks, Markdown files with matchers")
    agent_objectives: str = Field(
        "", description="Path of the file of service level objectives: error budgets, and how a release is watched"
    )
    agent_mcp: str = Field("", description="Path of the file of MCP servers and what effect each of their tools has")
    agent_environments: str = Field(
        "",
        description="Namespace patterns and their environment: shop=production,staging-*=staging; unlisted is production",
    )
    agent_baselines: str = Field(
        "",
        description="What a piece of work costs a person by hand: diagnosis=20m,remediation=35m; empty: measured, else assumed",
    )
    agent_compute_price: float = Field(
        0.0, ge=0, le=1000, description="US dollars for an hour of a run's machine time; 0 means that it is not counted"
    )
    agent_weekly: str = Field(
        "mon 09:00 UTC",
        description="When the weekly message comes: a weekday, a time and a time zone (mon 09:00 Europe/Berlin); or off",
    )
    agent_scan: str = Field(
        "off", description="When the configuration is scanned: a weekday, a time and a time zone; off: only when asked"
    )

    @field_validator("slack_api_url")
    @classmethod
    def _slack_url_is_safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("must be https, or http on loopback: tokens are sent there")
        return value if value.endswith("/") else value + "/"

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _collector_is_a_url(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/\s]+", value):
            raise ValueError("must be an http or https URL, such as http://collector:4318")
        return value

    @field_validator("agent_model")
    @classmethod
    def _model_is_known(cls, value: str) -> str:
        if value not in ("", "openai", "rules"):
            raise ValueError("must be openai or rules")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _headers_parse(cls, value: SecretStr) -> SecretStr:
        try:
            pairs(value.get_secret_value())
        except ValueError:
            raise ValueError("must be NAME=VALUE, comma separated") from None  # its words would hold the credential
        return value

    @field_validator("agent_environments", "agent_alert_bots", "otel_resource_attributes")
    @classmethod
    def _pairs_parse(cls, value: str) -> str:
        pairs(value)
        return value

    @field_validator("agent_baselines")
    @classmethod
    def _baselines_parse(cls, value: str) -> str:
        parse_baselines(value)
        return value

    @field_validator("agent_weekly", "agent_scan")
    @classmethod
    def _week_parses(cls, value: str) -> str:
        appointment(value)
        return value

    @field_validator("agent_anchors")
    @classmethod
    def _anchors_are_places(cls, value: str) -> str:
        for place in names(value):
            if not _PLACE.fullmatch(place):
                raise ValueError(f"{place!r} is no place: write file:PATH, git:REPOSITORY#BRANCH or slack:#channel")
        return value

    @model_validator(mode="after")
    def _webhooks_are_guarded(self) -> Settings:
        if not is_loopback(self.agent_host) and not self.agent_alert_token.get_secret_value():
            raise ValueError("AGENT_ALERT_TOKEN must be set when AGENT_HOST is not loopback: anyone could post alerts")
        if self.agent_model == "openai" and not self.openai_api_key.get_secret_value():
            raise ValueError("AGENT_MODEL=openai needs OPENAI_API_KEY")
        if self.otel_exporter_otlp_endpoint and self.otel_exporter_otlp_protocol != "http/protobuf":
            raise ValueError("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf (port 4318 of most collectors)")
        return self

    @property
    def model(self) -> str:
        """`openai` or `rules`."""
        return self.agent_model or ("openai" if self.openai_api_key.get_secret_value() else "rules")

    @property
    def scan(self) -> Appointment | None:
        """When the configuration is scanned; None where only people ask for it."""
        return appointment(self.agent_scan)

    @property
    def weekly(self) -> Appointment | None:
        """When the weekly message comes; None where none is wanted."""
        return appointment(self.agent_weekly)

    @property
    def otlp_headers(self) -> dict[str, str]:
        """What OTEL_EXPORTER_OTLP_HEADERS says, decoded."""
        given = pairs(self.otel_exporter_otlp_headers.get_secret_value())
        return {name: unquote(value) for name, value in given}

    @property
    def approvers(self) -> tuple[str, ...]:
        """The references behind $AGENT_APPROVERS."""
        return names(self.agent_approvers)

    @property
    def anchors(self) -> tuple[str, ...]:
        """The places that hold copies of checkpoints, each once."""
        return tuple(dict.fromkeys(names(self.agent_anchors)))

    @property
    def signing_key(self) -> Path:
        """The file of the key that signs checkpoints."""
        return Path(self.agent_signing_key or f"{self.agent_database}.key")

    def environment(self, *places: str) -> str:
        """The environment of a namespace, or of a place of another system (`jenkins:shop/deploy`); unlisted is production.

        A thing may have several places: the first pattern that matches any of them wins.
        """
        for pattern, environment in pairs(self.agent_environments):
            if any(fnmatchcase(place, pattern) for place in places):
                return environment
        return "production"

    def secrets(self) -> tuple[str, ...]:
        """Every secret value that this process holds, for the redactor."""
        held = (getattr(self, name) for name in type(self).model_fields)
        whole = [value.get_secret_value() for value in held if isinstance(value, SecretStr)]
        return tuple(filter(None, (*whole, *self.otlp_headers.values())))


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """Settings from .env and the environment (which wins). Raises SettingsError that names the setting and a fix."""
    environ = os.environ if environ is None else environ
    from_file = (
        {key: value or "" for key, value in dotenv_values(env_file).items()} if env_file and env_file.is_file() else {}
    )
    merged = {**from_file, **environ}
    known = set(Settings.model_fields)
    _refuse_unknown(merged, known)
    given = {key.lower(): value for key, value in merged.items() if key.lower() in known and value != ""}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from error


def variable(name: str, env_file: Path = Path(".env")) -> str | None:
    """An environment variable that a file of the operator's names, from the environment or else .env."""
    return os.environ.get(name) or (dotenv_values(env_file).get(name) if env_file.is_file() else None)


def names(text: str) -> tuple[str, ...]:
    """`a, b` as its parts, in order."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pairs(text: str) -> list[tuple[str, str]]:
    """`a=b,c=d` as pairs, in order. Raises ValueError naming the part that is not a pair."""
    result = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = part.partition("=")
        if not separator or not name.strip() or not value.strip():
            raise ValueError(f"{part!r} is not NAME=VALUE")
        result.append((name.strip(), value.strip()))
    return result


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_unknown(merged: Mapping[str, str], known: set[str]) -> None:
    own = sorted(name.upper() for name in known)
    for name in sorted(merged):
        if re.match(r"AGENT_[A-Z]", name) and name.lower() not in known:
            near = difflib.get_close_matches(name, own, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else f"; known are {', '.join(n for n in own if n.startswith('AGENT_'))}"
            )
            raise SettingsError(f"{name} is not a setting{hint}")


def _sentence(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]).upper()
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
