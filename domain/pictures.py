"""Events of pictures that messages show. The picture itself is in the journal: what was said can be seen again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureWanted:
    """A picture for the message `key`, about to be handed to Slack. `content` is a PNG in base64."""

    key: str
    name: str
    alt_text: str
    sha256: str
    content: str


@dataclass(frozen=True)
class PictureSent:
    """Slack has it, under `file_id`. It stands in no channel but where messages show it."""

    key: str
    sha256: str
    file_id: str
