"""The arguments of the tools that change something in GitLab. Checked as GitLab itself would, before it is asked."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from bot.tools.spec import Model

KEY = "PERSONAL_AGENT_KEY"
"""The variable in which this agent leaves its key, where a job that it plays may be given variables."""

MOST_VARIABLES, LONGEST_VALUE = 20, 1000
MOST_EDITS, LONGEST_TEXT = 20, 3000
_SLUG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}"
_PROJECT = re.compile(rf"{_SLUG}(/{_SLUG}){{1,20}}")
_BRANCH = re.compile(r"(?!.*(\.\.|//|@\{))(?![-/.])[^\x00-\x20\x7f~^:?*\[\\]{1,244}(?<![/.])")
_ENVIRONMENT = re.compile(r"(?!/)[A-Za-z0-9 _${}/.-]{0,255}(?<!/)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,3})?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_SHA = re.compile(r"([0-9a-f]{7,64})?")
_MASK = re.compile(r"\[secret:[a-z-]{1,40}:[0-9a-f]{4}\]")
_QUICK = re.compile(r"^\s*/[a-z]", re.MULTILINE | re.IGNORECASE)


def _project(path: str) -> str:
    if not _PROJECT.fullmatch(path) or path.endswith((".git", ".atom")):
        raise ValueError("must be group/project, the project's full path as in its URL")
    return path


def _branch(name: str) -> str:
    if not _BRANCH.fullmatch(name) or name.endswith(".lock"):
        raise ValueError("is not the name of a branch")
    return name


def _environment(name: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise ValueError("is not the name of an environment in GitLab")
    return name


def _variables(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not the name of a variable")
        if name == KEY:
            raise ValueError(f"{KEY} is set by the agent itself")
        if len(value) > LONGEST_VALUE:
            raise ValueError(f"{name} is longer than {LONGEST_VALUE} characters")
        if unseen(value) or "\n" in value or "\r" in value:
            raise ValueError(f"{name} has a line break or a character that nobody sees on a card")
    return given


def _commit(sha: str) -> str:
    if not _SHA.fullmatch(sha):
        raise ValueError("must be a commit's sha, in lower case")
    return sha


def unseen(text: str) -> str:
    """The first character that a card does not show as it is, such as one that turns the direction of writing; or none."""
    for each in text:
        if each not in "\t\r\n" and unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            return f"U+{ord(each):04X}"
    return ""


def _plain(text: str) -> str:
    if _MASK.search(text):
        raise ValueError("holds a mask that stands for a secret, which is not what the file has")
    if found := unseen(text):
        raise ValueError(f"holds a character that nobody sees on a card ({found})")
    return text


def _title(text: str) -> str:
    if text != text.strip() or "\n" in text or "\r" in text:
        raise ValueError("must be one line, with no space around it")
    return _plain(text)


def _description(text: str) -> str:
    if _QUICK.search(text):  # GitLab takes such a line for a command of the author's: /merge, /approve, /assign
        raise ValueError("a line must not begin with a slash: GitLab would carry it out as a quick action")
    return _plain(text)


def _amounts(given: dict[str, str]) -> dict[str, str]:
    for name, amount in given.items():
        if name not in ("cpu", "memory"):
            raise ValueError(f"{name[:40]!r} is neither cpu nor memory")
        if not _AMOUNT.fullmatch(amount):
            raise ValueError(f"{amount[:40]!r} is no quantity such as 250m or 384Mi")
    return given


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
ProjectPath = Annotated[
    str,
    Field(max_length=500, description="full path: group/project, or group/subgroup/project"),
    AfterValidator(_project),
]
Number = Annotated[int, Field(ge=1, le=2**53)]
Branch = Annotated[str, Field(max_length=244), AfterValidator(_branch)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_plain)]


class Pipeline(Model):
    """Of retry and of cancel."""

    project: ProjectPath
    pipeline: Annotated[Number, Field(description="its id, not the number within the project")]


class Play(Model):
    project: ProjectPath
    job: Annotated[Number, Field(description="its id: a manual job, or one that has ended, which runs again")]
    environment: Annotated[
        str,
        Field(
            max_length=255, description="the environment that the job deploys to, as GitLab calls it; empty: to none"
        ),
        AfterValidator(_environment),
    ] = ""
    variables: Annotated[
        dict[str, str],
        Field(
            default_factory=dict,
            max_length=MOST_VARIABLES,
            description="of a manual job; empty: as the pipeline has them",
        ),
        AfterValidator(_variables),
    ]


class Edit(Model):
    path: Annotated[str, Field(min_length=1, max_length=500)]
    old: Annotated[Text, Field(description="the text to replace: it occurs once; empty: the file is new")]
    new: Text


class Resources(Model):
    """What a container asks for, in a manifest of the repository."""

    path: Annotated[str, Field(min_length=1, max_length=500)]
    kind: Annotated[str, Field(pattern=r"^(Deployment|StatefulSet|DaemonSet)$")]
    namespace: Name
    name: Name
    container: Name
    requests: Annotated[dict[str, str], Field(default_factory=dict), AfterValidator(_amounts)]
    limits: Annotated[dict[str, str], Field(default_factory=dict), AfterValidator(_amounts)]


class MergeRequest(Model):
    project: ProjectPath
    target_branch: Branch
    title: Annotated[str, Field(min_length=3, max_length=200), AfterValidator(_title)]
    description: Annotated[str, Field(max_length=1500), AfterValidator(_description)] = ""
    revert: Annotated[
        str, Field(max_length=64, description="sha of the commit to take back; or give edits"), AfterValidator(_commit)
    ] = ""
    edits: Annotated[list[Edit], Field(default_factory=list, max_length=MOST_EDITS)]
    resources: Annotated[list[Resources], Field(default_factory=list, max_length=MOST_EDITS)]

    @model_validator(mode="after")
    def _one(self) -> MergeRequest:
        if bool(self.revert) + bool(self.edits) + bool(self.resources) != 1:
            raise ValueError("give either revert, or edits, or resources")
        if any(not (each.requests or each.limits) for each in self.resources):
            raise ValueError("resources: say requests, or limits")
        return self
