"""Settings: what the environment says, checked at the door."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from bot.config import Settings, is_loopback, load, pairs
from domain.actions import Mode
from domain.errors import SettingsError
from domain.weeks import Appointment


def settings(**environ: str) -> Settings:
    return load(environ, env_file=None)


def test_the_defaults_listen_on_loopback_and_ask_for_every_change() -> None:
    given = settings()
    assert (given.agent_host, given.agent_mode, given.model) == ("127.0.0.1", Mode.PROPOSE, "rules")


def test_an_unknown_agent_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="AGENT_APROVERS is not a setting; did you mean AGENT_APPROVERS"):
        settings(AGENT_APROVERS="@sre")


def test_names_of_others_are_left_alone() -> None:
    assert settings(AGENTLESS="1", PATH="/bin").agent_port == 8080


def test_a_public_address_needs_a_token_for_the_webhooks() -> None:
    with pytest.raises(SettingsError, match="AGENT_ALERT_TOKEN must be set"):
        settings(AGENT_HOST="0.0.0.0")
    assert settings(AGENT_HOST="0.0.0.0", AGENT_ALERT_TOKEN="t").agent_host == "0.0.0.0"


@pytest.mark.parametrize(
    "url", ["http://slack.example.com/api/", "ftp://localhost/", "http://127.0.0.1.example.com/api/"]
)
def test_tokens_are_sent_to_no_plain_http_host_but_loopback(url: str) -> None:
    with pytest.raises(SettingsError, match="SLACK_API_URL: must be https"):
        settings(SLACK_API_URL=url)


def test_a_slack_url_ends_in_a_slash() -> None:
    assert settings(SLACK_API_URL="http://127.0.0.1:9/api").slack_api_url == "http://127.0.0.1:9/api/"


def test_anchors_are_places_each_once_and_a_branch_is_no_option() -> None:
    given = settings(AGENT_ANCHORS="slack:#audit, file:/mnt/worm/a.jsonl,git:/srv/audit.git#log/prod, slack:#audit,")
    assert given.anchors == ("slack:#audit", "file:/mnt/worm/a.jsonl", "git:/srv/audit.git#log/prod")
    assert settings().anchors == ()
    for wrong in (
        "/mnt/worm/a.jsonl",
        "s3:bucket",
        "git:/srv/audit.git",
        "git:/srv/audit.git#-f",
        "git:/a#b;c",
        "file:",
    ):
        with pytest.raises(SettingsError, match="is no place"):
            settings(AGENT_ANCHORS=wrong)


def test_the_signing_key_stands_beside_the_database_unless_it_is_named() -> None:
    assert settings(AGENT_DATABASE="/var/lib/agent.db").signing_key == Path("/var/lib/agent.db.key")
    assert settings(AGENT_SIGNING_KEY="/run/keys/agent.pem").signing_key == Path("/run/keys/agent.pem")


def test_a_key_makes_the_model_openai_and_openai_needs_a_key() -> None:
    assert settings(OPENAI_API_KEY="sk-x").model == "openai"
    assert settings(OPENAI_API_KEY="sk-x", AGENT_MODEL="rules").model == "rules"
    with pytest.raises(SettingsError, match="AGENT_MODEL=openai needs OPENAI_API_KEY"):
        settings(AGENT_MODEL="openai")


def test_traces_take_their_standard_settings_and_one_protocol() -> None:
    given = settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abcdef, x-scope=acme",
    )
    assert given.otlp_headers == {"authorization": "Bearer abcdef", "x-scope": "acme"}
    assert {"Bearer abcdef", "acme"} <= set(given.secrets())
    assert given.agent_trace_content is False
    assert settings(OTEL_EXPORTER_OTLP_PROTOCOL="grpc").otel_exporter_otlp_endpoint == "", "it is for somebody else"
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"):
        settings(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4317")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"):
        settings(OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS: must be NAME=VALUE") as refused:
        settings(OTEL_EXPORTER_OTLP_HEADERS="Bearer abcdef")
    assert "abcdef" not in str(refused.value)


def test_an_unlisted_namespace_is_production() -> None:
    given = settings(AGENT_ENVIRONMENTS="shop=production, staging-*=staging")
    assert given.environment("staging-shop") == "staging"
    assert given.environment("anything") == "production"
    assert given.environment("") == "production"


def test_the_first_matching_pattern_names_the_environment() -> None:
    assert settings(AGENT_ENVIRONMENTS="a-prod=production,a-*=staging").environment("a-prod") == "production"


def test_of_a_thing_with_several_places_the_first_pattern_that_matches_any_of_them_wins() -> None:
    given = settings(AGENT_ENVIRONMENTS="jenkins:shop/deploy@TARGET:staging=staging,jenkins:shop/*=development")
    assert given.environment("jenkins:shop/deploy", "jenkins:shop/deploy@TARGET:staging") == "staging"
    assert given.environment("jenkins:shop/deploy", "jenkins:shop/deploy@TARGET:live") == "development"
    assert given.environment("jenkins:other", "jenkins:other@TARGET:staging") == "production"
    assert given.environment("shop") == "production", "a pattern of another system says nothing of a namespace"


def test_the_week_is_told_when_it_is_said_and_a_slip_is_named_with_what_was_meant() -> None:
    assert load({}, env_file=None).weekly == Appointment(0, time(9), "UTC")
    assert load({"AGENT_WEEKLY": "fri 16:00 Europe/Berlin"}, env_file=None).weekly == Appointment(
        4, time(16), "Europe/Berlin"
    )
    assert load({"AGENT_WEEKLY": "off"}, env_file=None).weekly is None
    with pytest.raises(SettingsError, match=r"AGENT_WEEKLY: .*did you mean Europe/Berlin"):
        load({"AGENT_WEEKLY": "mon 09:00 Europe/Berln"}, env_file=None)


def test_a_scan_comes_only_where_a_time_is_set() -> None:
    assert load({}, env_file=None).scan is None
    assert load({"AGENT_SCAN": ""}, env_file=None).scan is None
    assert load({"AGENT_SCAN": "tue 07:00"}, env_file=None).scan == Appointment(1, time(7))
    with pytest.raises(SettingsError, match=r"AGENT_SCAN: .*write mon 09:00"):
        load({"AGENT_SCAN": "daily"}, env_file=None)


def test_pairs_that_are_none_are_named() -> None:
    with pytest.raises(SettingsError, match="'shop' is not NAME=VALUE"):
        settings(AGENT_ENVIRONMENTS="shop")
    assert pairs(" a = b , c=d,") == [("a", "b"), ("c", "d")]


def test_numbers_out_of_range_name_the_setting() -> None:
    with pytest.raises(SettingsError, match="AGENT_PORT"):
        settings(AGENT_PORT="99999")
    with pytest.raises(SettingsError, match="AGENT_WORKERS"):
        settings(AGENT_WORKERS="many")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("AGENT_PORT=1111\nAGENT_CHANNEL='#ops'\n")
    given = load({"AGENT_PORT": "2222"}, env_file)
    assert (given.agent_port, given.agent_channel) == (2222, "#ops")


def test_secrets_do_not_show_in_the_settings_text_and_are_known_to_the_redactor() -> None:
    given = settings(SLACK_BOT_TOKEN="xoxb-very-secret", OPENAI_API_KEY="sk-hidden")
    assert "very-secret" not in repr(given)
    assert set(given.secrets()) == {"xoxb-very-secret", "sk-hidden"}


def test_approvers_are_separate_references() -> None:
    assert settings(AGENT_APPROVERS="@sre, mara@example.com ,U1").approvers == ("@sre", "mara@example.com", "U1")


@pytest.mark.parametrize(
    ("host", "local"), [("localhost", True), ("::1", True), ("127.0.0.9", True), ("10.0.0.1", False)]
)
def test_loopback_is_this_machine_only(host: str, local: bool) -> None:
    assert is_loopback(host) is local
