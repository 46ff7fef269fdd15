"""One exception tree. A class's docstring is its default message, so class, docs and log say the same sentence."""

from __future__ import annotations


class AgentError(Exception):
    """Personal-Agent could not do what was asked."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__class__.__doc__ or "").split("\n\n")[0])


class SettingsError(AgentError):
    """A setting is missing or unusable."""


class BadInput(AgentError):
    """The input cannot be used; the message names the field and what would be right."""

    def __init__(self, message: str = "", field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ArgumentsRefused(BadInput):
    """The arguments of a tool call cannot be used."""


class Conflict(AgentError):
    """Somebody else was first: the state that this append relies on has changed."""


class Paused(Conflict):
    """The agent is paused: nothing is executed until somebody resumes it."""


class Duplicate(Conflict):
    """This payload was received before."""


class JournalError(AgentError):
    """The journal could not be written, so nothing was done."""


class NewerDatabase(JournalError):
    """The database was written by a newer version of Personal-Agent; upgrade before opening it."""


class AnchorError(AgentError):
    """A place outside the database did not take a checkpoint, or cannot be read."""


class PolicyError(AgentError):
    """The policy cannot be used; every problem is listed with file and line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotAllowed(AgentError):
    """This person may not do that; the message says why."""


class ToolError(AgentError):
    """A tool could not do its work; the message is a plain sentence that a person and a model can act on."""

    def __init__(self, message: str = "", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class TargetMoved(ToolError):
    """The target changed since it was looked at, so nothing was done."""


class OutcomeUnknown(ToolError):
    """The call was sent and no answer came back: it may or may not have taken effect."""


class ModelError(AgentError):
    """The model gave no usable answer; the built-in rules go on alone."""


class ChatError(AgentError):
    """Slack refused or did not answer."""

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.code = code
