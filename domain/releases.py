"""The words that analyzers, tools, rules and the gate share about releases."""

from __future__ import annotations

ASSESSED = "release.risk"
"""The code of the finding that is a deployment's risk. Analyzers alone make it: no model can say that something is safe."""

PLAY = "gitlab_play_job"
"""The tool that deploys."""


def is_canary(environment: str) -> bool:
    """Whether an environment of GitLab is a canary's: its name says so, as in production/canary."""
    return "canary" in environment.lower()
