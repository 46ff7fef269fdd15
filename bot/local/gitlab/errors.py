"""GitLab's refusals, each with the body that the real one sends."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class ApiError(Exception):
    """A refusal: status, body, headers."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status, self.body, self.headers = status, body, headers or {}

    def response(self) -> web.Response:
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body, headers=self.headers)
        text = json.dumps(self.body, separators=(",", ":"))
        return web.Response(status=self.status, text=text, content_type="application/json", headers=self.headers)


def unauthorized() -> ApiError:
    return ApiError(401, {"message": "401 Unauthorized"})


def invalid_token(why: str) -> ApiError:
    """A token that was once valid: `revoked` or `expired`."""
    description = {
        "revoked": "Token was revoked. You have to re-authorize from the user.",
        "expired": "Token is expired. You can either do re-authorization or token refresh.",
    }[why]
    return ApiError(401, {"error": "invalid_token", "error_description": description})


def insufficient_scope(*needed: str) -> ApiError:
    body = {
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token.",
        "scope": " ".join(needed),
    }
    return ApiError(403, body)


def forbidden(why: str = "") -> ApiError:
    return ApiError(403, {"message": f"403 Forbidden - {why}" if why else "403 Forbidden"})


def not_found(what: str = "") -> ApiError:
    return ApiError(404, {"message": f"404 {what} Not Found" if what else "404 Not found"})


def no_route() -> ApiError:
    return ApiError(404, {"error": "404 Not Found"})


def method_not_allowed() -> ApiError:
    return ApiError(405, {"error": "405 Not Allowed"})


def bad_request(why: str) -> ApiError:
    return ApiError(400, {"message": f"400 Bad request - {why}"})


def refused(message: Any) -> ApiError:
    """A service that would not: its own message, or a map of fields to messages."""
    return ApiError(400, {"message": message})


def invalid_parameters(*problems: str) -> ApiError:
    """Grape's validation: `ref is missing`, `per_page does not have a valid value`."""
    return ApiError(400, {"error": ", ".join(problems)})


def conflict(message: Any) -> ApiError:
    return ApiError(409, {"message": message})


def too_many_requests(limit: int, retry_after: int, reset: int) -> ApiError:
    headers = {
        "RateLimit-Limit": str(limit),
        "RateLimit-Name": "throttle_authenticated_api",
        "RateLimit-Observed": str(limit + 1),
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": str(reset),
        "Retry-After": str(retry_after),
        "Content-Type": "text/plain",
    }
    return ApiError(429, "Retry later\n", headers)
