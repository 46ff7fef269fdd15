"""The arguments of the Jenkins tools: a job's full name, numbers of builds, parameters. Checked as Jenkins itself would."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from bot.tools.spec import Model

KEY = "PERSONAL_AGENT_KEY"
"""The parameter in which this agent leaves its key, where a job declares it."""

MOST_PARAMETERS, LONGEST_VALUE = 50, 4000
_BAD = re.compile(r"[\x00-\x1f\x7f?*\\!@#$^&|<>\[\]:;\"]")  # jenkins.model.Jenkins.checkGoodName, but the slash
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def _job(name: str) -> str:
    for part in name.split("/"):
        if not part or part != part.strip() or part in (".", ".."):
            raise ValueError("must be folder/job or folder/job/branch, as Jenkins' full name of it")
        if _BAD.search(part) or "%" in _ENCODED.sub("", part):
            raise ValueError("holds a character that no job of Jenkins has in its name")
    return name


def _parameters(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not the name of a parameter")
        if name == KEY:
            raise ValueError(f"{KEY} is set by the agent itself")
        if len(value) > LONGEST_VALUE:
            raise ValueError(f"{name} is longer than {LONGEST_VALUE} characters")
    return given


JobName = Annotated[
    str,
    Field(max_length=500, description="full name: folder/job, or folder/job/branch with %2F for a slash in the branch"),
    AfterValidator(_job),
]
MaybeNumber = Annotated[int, Field(ge=0, le=2**31)]
Parameters = Annotated[dict[str, str], Field(max_length=MOST_PARAMETERS), AfterValidator(_parameters)]


class Builds(Model):
    job: JobName
    limit: Annotated[int, Field(ge=1, le=50)] = 15
    failed_tests: Annotated[bool, Field(description="also name the tests that failed in each build")] = False


class Build(Model):
    job: JobName
    number: Annotated[MaybeNumber, Field(description="0: the last one")] = 0


class Trigger(Model):
    job: JobName
    parameters: Annotated[Parameters, Field(default_factory=dict, description="what is not given takes its default")]
    rebuild: Annotated[MaybeNumber, Field(description="take the parameters of this earlier build; 0: of none")] = 0


class Abort(Model):
    job: JobName
    build: Annotated[MaybeNumber, Field(description="its number; 0: what this agent itself started, see after")] = 0
    after: Annotated[MaybeNumber, Field(description="the first one of this agent after this build")] = 0

    @model_validator(mode="after")
    def _one(self) -> Abort:
        if self.build and self.after:
            raise ValueError("give either build, or after for what this agent itself started")
        return self
