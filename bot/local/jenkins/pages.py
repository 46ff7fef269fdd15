"""What Jenkins says in HTML: refusals, errors, and that it is not ready yet."""

from __future__ import annotations

import html
from urllib.parse import quote

VERSION = "2.528.2"


def jetty(status: int, message: str, path: str) -> str:
    """An error of the servlet container, such as a missing crumb."""
    said, at = html.escape(message), html.escape(path)
    return (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n'
        f"<title>Error {status} {said}</title>\n</head>\n<body><h2>HTTP ERROR {status} {said}</h2>\n<table>\n"
        f"<tr><th>URI:</th><td>{at}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n"
        f"<tr><th>MESSAGE:</th><td>{said}</td></tr>\n<tr><th>SERVLET:</th><td>Stapler</td></tr>\n</table>\n"
        '<hr/><a href="https://jetty.org/">Powered by Jetty:// 12.0.25</a><hr/>\n\n</body>\n</html>\n'
    )


def login_needed(path: str) -> str:
    """To whom nobody is."""
    there = quote(path, safe="")
    return (
        f"<html><head><meta http-equiv='refresh' content='1;url=/login?from={there}'/>"
        f"<script id='redirect' data-redirect-url='/login?from={there}' src='/static/2d1/scripts/redirect.js'></script></head>"
        "<body style='background-color:white; color:white;'>\nAuthentication required\n<!--\n-->\n\n</body></html>"
    )


def denied(user: str, permission: str) -> str:
    """To whom something is not allowed."""
    return (
        '<!DOCTYPE html><html><head resURL="/static/2d1"><title>Access Denied</title></head><body>'
        f'<div id="page-body"><div id="main-panel"><h1>Access Denied</h1><p class="error">{html.escape(user)} is missing '
        f"the {permission} permission</p></div></div></body></html>"
    )


def not_found(path: str) -> str:
    """There is no such thing, or the caller may not know of it."""
    return jetty(404, "Not Found", path)


def oops(message: str) -> str:
    """Something was thrown."""
    return (
        '<!DOCTYPE html><html><head><title>Oops! - Jenkins</title></head><body><div id="main-panel"><h1>Oops!</h1>'
        f"<h2>A problem occurred while processing the request</h2><p>Logging ID=8f1b2c9a-7a3c-4f0f-9d56-000000000001</p>"
        f"<pre>{html.escape(message)}</pre></div></body></html>"
    )


def error(title: str, message: str) -> str:
    """A refusal that Jenkins worded itself."""
    return (
        f'<!DOCTYPE html><html><head><title>{html.escape(title)} - Jenkins</title></head><body><div id="main-panel">'
        f"<h1>Error</h1><p>{html.escape(message)}</p></div></body></html>"
    )


def starting() -> str:
    """While Jenkins starts."""
    return (
        "<!DOCTYPE html><html><head><title>Starting Jenkins</title></head><body><h1>"
        "Please wait while Jenkins is getting ready to work<span>.</span><span>.</span><span>.</span></h1>"
        "<p>Your browser will reload automatically when Jenkins is ready.</p></body></html>"
    )
