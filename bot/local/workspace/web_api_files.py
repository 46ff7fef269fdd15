"""files.*: the three-step upload, and what is known of a file afterwards."""

from __future__ import annotations

import mimetypes

from aiohttp import web

from .messages import by_bot, post
from .state import Json, StoredFile, new_id
from .web_api import ApiError, Call, Core, Method
from .web_api_chat import check_blocks, thread, writable

LARGEST_FILE = 50 * 1024 * 1024
PROCESSING_S = 0.2  # Slack's answer comes first, and what may be done with the file a little later


async def upload_url(call: Call) -> Json:
    name = call.text("filename")
    length = call.text("length")
    if not length.isdigit() or not 0 < int(length) <= LARGEST_FILE:
        raise ApiError("invalid_arguments")
    file_id = new_id("F")
    base = call.core.base_url
    mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
    info: Json = {
        "id": file_id,
        "created": int(call.state.clock.now()),
        "name": name,
        "title": name,
        "mimetype": mimetype,
        "filetype": name.rpartition(".")[2],
        "user": call.bot.user_id,
        "size": int(length),
        "mode": "hosted",
        "alt_txt": call.args.get("alt_txt") or "",
        "url_private": f"{base}/files/{file_id}",
        "url_private_download": f"{base}/files/{file_id}",
        "permalink": f"{base}/files/{file_id}",
        "shares": {},
    }
    call.state.files[file_id] = StoredFile(info)
    return {"upload_url": f"{base}/upload/v1/{file_id}", "file_id": file_id}


async def receive(core: Core, request: web.Request) -> web.Response:
    """The bytes of an announced file, raw or as a form, without a token."""
    stored = core.state.files.get(request.match_info["file"])
    if stored is None or stored.ready:
        return web.Response(status=404, text="unknown upload")
    if request.content_type.startswith("multipart/"):
        field = await (await request.multipart()).next()
        stored.content = bytes(await field.read()) if field is not None and hasattr(field, "read") else b""
    else:
        stored.content = await request.read()
    stored.info["size"] = len(stored.content)
    return web.Response(text=f"OK - {len(stored.content)}")


async def complete(call: Call) -> Json:
    wanted = call.args.get("files")
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise ApiError("invalid_arguments")
    files = []
    for one in wanted:
        stored = call.state.files.get(str(one.get("id")))
        if stored is None or not stored.content:
            raise ApiError("file_not_found")
        stored.info["title"] = one.get("title") or stored.info["title"]
        files.append(stored)
    channels = str(call.args.get("channels") or call.args.get("channel_id") or "")
    for channel_id in filter(None, channels.split(",")):
        _share(call, channel_id, files)
    for stored in files:
        stored.ready = True
        stored.usable_at = call.state.clock.now() + PROCESSING_S
        call.state.tell("file", file=public(stored))
    # As with Slack, the shares are not in this answer: they are made a moment later.
    return {"files": [{key: v for key, v in stored.info.items() if key != "shares"} for stored in files]}


def _share(call: Call, channel_id: str, files: list[StoredFile]) -> None:
    room = Call(call.core, {"channel": channel_id}).room()
    writable(call, room)
    made: Json = {"text": str(call.args.get("initial_comment") or ""), "upload": True, "subtype": "file_share"}
    made |= thread(room, call.args.get("thread_ts"))
    if call.args.get("blocks"):
        made["blocks"] = check_blocks(call.state, call.args["blocks"])
    made["files"] = [stored.info for stored in files]
    message = post(call.core.desk, room, by_bot(call.state, call.bot), made)
    for stored in files:
        stored.info["shares"] = {"public": {room.id: [{"ts": message["ts"], "channel_name": room.name}]}}


def public(stored: StoredFile) -> Json:
    """A file as the page sees it."""
    return {**stored.info, "url": stored.info["url_private"]}


async def file_info(call: Call) -> Json:
    stored = call.state.files.get(str(call.args.get("file")))
    if stored is None or not stored.ready:
        raise ApiError("file_not_found")
    return {"file": stored.info}


METHODS = {
    "files.getUploadURLExternal": Method(upload_url, "files:write"),
    "files.completeUploadExternal": Method(complete, "files:write"),
    "files.info": Method(file_info, "files:read"),
}
