"""The policy in force: read from a folder, checked, kept when a newer one is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from bot.config import Settings
from bot.tools import schemas
from bot.tools.mcp_file import read_servers
from domain.canonical import digest_of
from domain.errors import PolicyError
from domain.events import PolicyLoaded, PolicyRejected
from domain.ports import Chat
from policies.policy import load, nothing_in_force
from policies.rules import Policy
from policies.schema import ToolSchema
from storage.reader import Reader

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


def known_tools(settings: Settings) -> tuple[ToolSchema, ...]:
    """The tools that a policy may name, without asking any system: ours, and what the file of MCP servers lists.

    Raises SettingsError. The values behind that file's variables are not needed for it.
    """
    return schemas(read_servers(settings.agent_mcp, lambda name: name))


MAX_SAID = 5
"""So many problems stand in the notice; /readyz and `policy check` list them all."""


async def announce(journal: Reader, chat: Chat) -> None:
    """Say in the channel that a bundle was refused, once per set of problems, and once that the policy is fine again.

    What was said is known by the recorded events, so that a restart repeats nothing.
    """
    loaded, refused = await journal.last(PolicyLoaded), await journal.last(PolicyRejected)
    if refused is None or not isinstance(refused.event, PolicyRejected):
        return
    if loaded is not None and loaded.seq > refused.seq:
        said = "✅ The policy's files load again, and what they say is in force."
        await chat.notice("", f"policy-fine:{refused.seq}", said)
        return
    since, problems = loaded.seq if loaded else 0, refused.event.problems
    stays = "The last good one stays in force" if loaded else "Nothing is in force, so everything is denied"
    more = f"\n… and {len(problems) - MAX_SAID} more" if len(problems) > MAX_SAID else ""
    text = f"⚠️ The policy's files were refused. {stays}.\n" + "\n".join(problems[:MAX_SAID]) + more
    await chat.notice("", f"policy-refused:{since}:{digest_of(list(problems))[:12]}", text)


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
