"""The policy in force: read from a folder, checked, kept when a newer one is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from bot.config import Settings
from domain.errors import PolicyError
from policies.policy import load, nothing_in_force
from policies.rules import Policy
from policies.schema import ToolSchema

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes tells a pod which namespace it runs in."""


def read_folder(folder: str) -> dict[str, str]:
    """File name -> text of a policy folder; the shipped policy where none is set. Raises PolicyError."""
    if not folder:
        shipped = resources.files("policies") / "default"
        return {item.name: item.read_text("utf-8") for item in shipped.iterdir() if item.name.endswith(".yaml")}
    path = Path(folder)
    if not path.is_dir():
        raise PolicyError(
            (f"AGENT_POLICY: {folder} is not a folder; name the folder that holds the policy's YAML files",)
        )
    try:
        return {item.name: item.read_text("utf-8") for item in sorted(path.glob("*.y*ml"))}
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError((f"{folder} cannot be read: {error}",)) from error


def variables(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What the names in a policy stand for here; the agent's own namespace, where it runs in one, is protected."""
    own = SERVICE_ACCOUNT_NAMESPACE.read_text("utf-8").strip() if SERVICE_ACCOUNT_NAMESPACE.is_file() else ""
    return {"AGENT_APPROVERS": settings.approvers, **({"AGENT_NAMESPACE": (own,)} if own else {})}


class PolicyFiles:
    """`current` is what decides; `problems` says what is wrong with the newest files, empty when they are in force.

    With nothing ever loaded, everything is denied.
    """

    def __init__(self, folder: str, tools: Sequence[ToolSchema], variables: Mapping[str, tuple[str, ...]]) -> None:
        self._folder = folder
        self._tools = tools
        self._variables = variables
        self._seen: dict[str, str] | None = None
        self.current: Policy = nothing_in_force(tools)
        self.problems: tuple[str, ...] = ()

    def reload(self) -> bool:
        """Look at the files again; whether anything changed (for better or worse)."""
        try:
            seen, self._seen = self._seen, None  # files that could not be read are new when they can be read again
            files = self._seen = read_folder(self._folder)
            if files == seen:
                return False
            self.current, self.problems = load(files, self._tools, self._variables), ()
        except PolicyError as error:
            changed = error.problems != self.problems
            self.problems = error.problems
            return changed
        return True
