"""The command line. Only what a command needs is imported, so that --help answers at once."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from bot import VERSION
from domain.errors import AgentError, PolicyError, SettingsError

LAZY = ("serve", "demo", "doctor", "runs", "replay", "audit", "policy", "roi", "runbook", "eval", "slack", "db")
"""The modules of bot.commands, each imported only when it is the command."""


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(
        prog="personal-agent",
        description="A Slack control plane for AI agents in incidents and CI/CD.",
        epilog="Settings come from the environment or .env; .env.example lists every one.",
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    commands.add_parser("serve", help="the service: Slack, webhooks, schedules")
    _demo(commands.add_parser("demo", help="the whole product against a stand-in world on loopback"))
    commands.add_parser("doctor", help="check settings, Slack, approvers, cluster; a sentence and a fix for each")
    runs = commands.add_parser("runs", help="recent runs, or one run's steps")
    runs.add_argument("run", nargs="?", metavar="RUN")
    runs.add_argument("--json", action="store_true", help="as JSON")
    _replay(commands.add_parser("replay", help="a recorded run told again, or tried with another policy or model"))
    _audit(commands.add_parser("audit", help="the journal's proof"))
    _policy(commands.add_parser("policy", help="check, test, explain and back-test the policy"))
    _roi(commands.add_parser("roi", help="what the work cost and saved, from the journal's rows"))
    evaluation = commands.add_parser("eval", help="scenario files against the rules or a model")
    evaluation.add_argument("folder", metavar="DIR", help="a folder of scenario files (*.yaml)")
    evaluation.add_argument(
        "--model", default="rules", metavar="NAME", help="rules (default), or a served model's name"
    )
    evaluation.add_argument("--only", default="", metavar="TEXT", help="the scenarios whose name has this in it")
    evaluation.add_argument("--at-once", type=int, default=4, metavar="N", help="how many at the same time (default 4)")
    evaluation.add_argument("--json", action="store_true", help="as JSON")
    runbook = commands.add_parser("runbook", help="draft a runbook from an incident, or check the folder of them")
    runbook.add_argument("incident", metavar="INCIDENT|check")
    runbook.add_argument("-o", "--output", default="", metavar="FILE", help="write it there instead of printing it")
    slack = commands.add_parser("slack", help="what Slack has to know of the app")
    actions = slack.add_subparsers(dest="action", metavar="action", required=True)
    manifest = actions.add_parser("manifest", help="the app manifest, generated from what the code uses")
    manifest.add_argument("--profile", choices=("minimal", "private", "agent"), default="minimal")
    database = commands.add_parser("db", help="the database")
    actions = database.add_subparsers(dest="action", metavar="action", required=True)
    actions.add_parser("migrate", help="bring it up to date")
    actions.add_parser("rebuild", help="fold the log again into what is read of it")
    commands.add_parser("version", help="the version")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 fine, 1 the check failed, 2 wrong usage or settings."""
    options = parser().parse_args(arguments)
    if options.command == "version":
        print(VERSION)
        return 0
    command = importlib.import_module(f"bot.commands.{LAZY[LAZY.index(options.command)]}")
    try:
        return int(command.run(options))
    except (SettingsError, PolicyError) as error:
        print(f"personal-agent {options.command}: {error}", file=sys.stderr)
        return 2
    except AgentError as error:
        print(f"personal-agent {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


def _demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument(
        "--scenario",
        default="bad-rollout",
        metavar="NAME",
        help="bad-rollout, oom, image-typo, recovered, configuration; in GitLab: pipeline, flaky, release, bad-canary",
    )
    demo.add_argument("--port", type=int, default=0, metavar="N", help="port of the page; 0 picks a free one")
    demo.add_argument(
        "--auto", action="store_true", help="play the people too, print the transcript, end when resolved"
    )
    demo.add_argument("--keep", action="store_true", help="keep the database, and say where it is")


def _replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("run", nargs="?", default="", metavar="RUN", help="a run's id, or the beginning of one")
    replay.add_argument("--html", default="", metavar="FILE", help="as a page: the run, or what a replay found")
    replay.add_argument("--code", action="store_true", help="go through it again with today's code and policy")
    replay.add_argument("--policy", default="", metavar="PATH", help="with the policy of this folder")
    replay.add_argument("--model", default="", metavar="NAME", help="with another model, or `rules`")
    replay.add_argument("--since", default="", metavar="PERIOD", help="every run of a period, such as 30d, as a table")
    replay.add_argument("--json", action="store_true", help="as JSON, of what is tried")


def _audit(audit: argparse.ArgumentParser) -> None:
    actions = audit.add_subparsers(dest="action", metavar="action", required=True)
    verify = actions.add_parser("verify", help="re-derive all of it; exit 1 and the first bad row")
    verify.add_argument("--database", default="", metavar="FILE", help="another database than AGENT_DATABASE")
    verify.add_argument(
        "--file", default="", metavar="BUNDLE", help="a bundle that was exported, instead of the database"
    )
    verify.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="PLACE",
        help="copies to check against instead of AGENT_ANCHORS: a file, or git:REPOSITORY#BRANCH; may be repeated",
    )
    verify.add_argument("--key", default="", metavar="KEY", help="the public key, as PEM file, hex or vkey")
    export = actions.add_parser(
        "export", help="evidence of a run, an incident or a period, that proves itself elsewhere"
    )
    export.add_argument("reference", nargs="?", default="", metavar="RUN", help="a run or an incident")
    export.add_argument(
        "--since", default="", metavar="PERIOD", help="every change since then instead, such as 30d or 13w"
    )
    export.add_argument("-o", "--output", default="", metavar="FILE", help="*.zip (default), *.jsonl, *.html or *.csv")
    export.add_argument("--database", default="", metavar="FILE", help="another database than AGENT_DATABASE")
    export.add_argument("--workspace", default="", metavar="ID", help="where the database holds several")

    key = actions.add_parser("key", help="print the public key that checks the checkpoints' signatures")
    key.add_argument("--rotate", action="store_true", help="sign with a new key from the next start on")
    find = actions.add_parser("find", help="the events whose bodies hold certain words")
    find.add_argument("words", metavar="WORDS")
    erase = actions.add_parser("erase", help="erase bodies under a tombstone; the chain still verifies")
    erase.add_argument("seq", nargs="+", type=int, metavar="SEQ", help="number of an event")
    erase.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays in the journal")
    for action in (find, erase):
        action.add_argument("--workspace", default="", metavar="ID", help="where the database holds several")


def _roi(roi: argparse.ArgumentParser) -> None:
    roi.add_argument("--since", default="7d", metavar="PERIOD", help="such as 24h, 7d or 30d (default 7d)")
    roi.add_argument("--json", action="store_true", help="as JSON")
    roi.add_argument("--csv", default="", metavar="FILE", help="write the figures, or the rows of one, as a table")
    roi.add_argument("--chart", default="", metavar="FILE.png", help="draw them")
    roi.add_argument("--figure", default="", metavar="NAME", help="one figure with the events that it is computed from")
    baseline = roi.add_subparsers(dest="action", metavar="action").add_parser(
        "baseline", help="what incidents took before the agent, from a CSV: opened,resolved,kind,service"
    )
    baseline.add_argument("file", metavar="FILE.csv")
    baseline.add_argument(
        "--workspace", default="", metavar="ID", help="whose incidents they are, where there are several"
    )


def _policy(policy: argparse.ArgumentParser) -> None:
    actions = policy.add_subparsers(dest="action", metavar="action", required=True)
    for name, words in (
        ("check", "parse, type-check and run its tests"),
        ("test", "run its tests and name each"),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("--policy", default="", metavar="PATH", help="another folder than AGENT_POLICY")
    explain = actions.add_parser("explain", help="what it says of an action, rule by rule")
    explain.add_argument("situation", metavar="ACTION.json", help="tool, args, target and whatever facts are known")
    explain.add_argument("--policy", default="", metavar="PATH", help="another folder than AGENT_POLICY")
    backtest = actions.add_parser("backtest", help="what another policy would have decided, over recorded decisions")
    backtest.add_argument("--policy", required=True, metavar="PATH", help="the folder of the policy to try")
    backtest.add_argument("--since", default="30d", metavar="PERIOD", help="such as 24h, 7d or 4w (default 30d)")
    backtest.add_argument("--json", action="store_true", help="as JSON")
    backtest.add_argument(
        "--counterfactual", action="store_true", help="recompute rates and trust from the decisions that change"
    )
    suggest = actions.add_parser("suggest", help="what the record says could run unasked, as a diff with its back-test")
    suggest.add_argument("--since", default="90d", metavar="PERIOD", help="such as 30d or 12w (default 90d)")
    suggest.set_defaults(policy="")


if __name__ == "__main__":
    sys.exit(main())
