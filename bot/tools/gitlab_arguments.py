"""The arguments of the GitLab tools that only look: refs as git has them, ids of pipelines."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, create_model

from bot.tools.gitlab_write_arguments import ProjectPath
from bot.tools.spec import Model

_NO_REF = re.compile(r"\.\.|//|@\{|[\x00-\x20\x7f~^:?*\[\\]")


def _ref(name: str) -> str:
    if name and (_NO_REF.search(name) or name.startswith(("-", "/", ".")) or name.endswith(("/", ".", ".lock"))):
        raise ValueError("is no name of a branch or tag, and no commit")
    return name


Ref = Annotated[str, Field(max_length=255), AfterValidator(_ref)]
PipelineId = Annotated[int, Field(ge=0, le=2**53)]


class Pipelines(Model):
    project: ProjectPath
    ref: Annotated[Ref, Field(description="branch or tag; empty: the default branch")] = ""
    limit: Annotated[int, Field(ge=1, le=50)] = 15
    failed_tests: Annotated[bool, Field(description="also name the tests that failed in each pipeline")] = False


class Pipeline(Model):
    project: ProjectPath
    pipeline: Annotated[PipelineId, Field(description="its id, not its iid; 0: the last one of ref")] = 0
    ref: Annotated[Ref, Field(description="for pipeline 0: branch or tag; empty: the default branch")] = ""


class _Compare(Model):
    project: ProjectPath


def _point(what: str) -> Any:
    return (Annotated[Ref, Field(min_length=1, description=f"{what}: commit, branch or tag")], ...)


_POINTS: dict[str, Any] = {"from": _point("the older one"), "to": _point("the newer one")}
_STRAIGHT: Any = (
    Annotated[bool, Field(description="compare the trees themselves, and not with where the two parted")],
    False,
)
Compare: type[Model] = create_model("Compare", __base__=_Compare, **_POINTS, straight=_STRAIGHT)
"""Made by a call: `from` is no name that a class body takes."""
