"""deploy/'s alert rules and dashboard: Prometheus' own checker reads them, and they name only what this product measures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from bot import metrics
from tests.scraping import needs_promtool, promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus-rules.yaml"
RULE_TESTS = ROOT / "tests" / "unit" / "prometheus_rules_test.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
OWN = {metric._name: metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)}
SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}
SERIES = {f"{name}{suffix}": metric for name, metric in OWN.items() for suffix in SUFFIXES[metric._type]}
ADDED = {"instance", "job", "le"}  # by Prometheus
GRAFANA = {"$__rate_interval": "5m", "$__range": "24h", "$instance": ".*"}


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and PromQL."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in GRAFANA.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


# --- what is named exists ---------------------------------------------------------------------------------------------


def test_rules_and_dashboard_name_only_series_and_labels_that_exist() -> None:
    for place, expression in expressions():
        named = re.findall(r"(personal_agent_\w+)(?:\{([^}]*)\})?", expression)
        assert named, place
        labels = set[str]()
        for series, matchers in named:
            assert series in SERIES, f"{place}: {series}"
            own = set(SERIES[series]._labelnames)
            labels |= own
            used = {part.group(1) for part in re.finditer(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)}
            assert used <= own | ADDED, f"{place}: {series} has no {used - own}"
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        assert {part.strip() for group in grouped for part in group.split(",")} <= labels | ADDED, place


def test_a_legend_or_a_sentence_names_only_labels_that_its_expression_leaves() -> None:
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            left = {
                part.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for part in group.split(",")
            }
            assert named <= left, panel["title"]
    for rule in alerts():
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        series = re.findall(r"personal_agent_\w+", rule["expr"])
        aggregated = re.findall(r"by \(([^)]*)\)", rule["expr"])
        own = set(SERIES[series[0]]._labelnames) | {"instance"}
        assert named <= ({part.strip() for group in aggregated for part in group.split(",")} if aggregated else own)


def test_no_label_of_ours_hides_one_that_prometheus_adds() -> None:
    assert [name for name, metric in OWN.items() if ADDED & set(metric._labelnames)] == []


# --- rules ------------------------------------------------------------------------------------------------------------


@needs_promtool
def test_promtool_reads_the_rules_and_their_unit_tests_hold() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stderr
    tested = promtool("test", "rules", str(RULE_TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_seen_firing_in_the_unit_tests() -> None:
    fired = set[str]()
    for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        fired |= {each["alertname"] for each in test.get("alert_rule_test", ()) if each["exp_alerts"]}
        samples = (sample for each in test.get("promql_expr_test", ()) for sample in each["exp_samples"])
        fired |= {re.findall(r'alertname="(\w+)",alertstate="firing"', sample["labels"])[0] for sample in samples}
    assert fired == {rule["alert"] for rule in alerts()}


@needs_promtool
def test_the_unit_tests_fail_for_an_alert_that_never_fires(tmp_path: Path) -> None:
    silent = RULES.read_text().replace("personal_agent_breaker_open) == 1", "personal_agent_breaker_open) == 2")
    (tmp_path / "rules.yaml").write_text(silent)
    tests = yaml.safe_load(RULE_TESTS.read_text())
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({**tests, "rule_files": ["rules.yaml"]}))
    assert promtool("test", "rules", str(tmp_path / "tests.yaml")).returncode == 1


def test_every_alert_says_what_happened_what_to_do_and_how_bad_it_is() -> None:
    for rule in alerts():
        assert re.fullmatch(r"PersonalAgent[A-Z]\w+", rule["alert"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert len(rule["annotations"]["summary"]) > 15
        assert len(rule["annotations"]["description"]) > 40


# --- the dashboard ----------------------------------------------------------------------------------------------------


@needs_promtool
def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, (_, text) in enumerate(expressions())]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", str(tmp_path / "panels.yaml"))
    assert checked.returncode == 0, checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert [variable["type"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "query"]
    sources = {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]}
    assert sources == {"${datasource}"}
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == [
        "Now", "Incidents", "Approvals and changes", "Model", "Health",
    ]  # fmt: skip
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))


def test_no_two_panels_lie_on_each_other_and_none_beyond_the_edge() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
