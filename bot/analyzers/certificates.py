"""cert-manager's Certificates: expired, not issued, or overdue for renewal. A short life by itself is no trouble."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bot.analyzers.fields import clock, condition, name_of, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

OVERDUE = timedelta(hours=1)
SOON = timedelta(days=7)


def analyze_certificates(scene: Scene) -> tuple[Finding, ...]:
    """The Certificate that is asked about."""
    if scene.target.kind != "Certificate" or not scene.workload.ok:
        return ()
    return (certificate_trouble(scene, scene.workload.data, "") or _healthy(scene),)


def certificate_trouble(scene: Scene, data: Mapping[str, Any], kept: str) -> Finding | None:
    """What is wrong with a certificate that was read as the target (`kept` empty) or among others."""
    name, secret = name_of(data), text(data, "spec", "secretName")
    ends, renews, now = when(data, "status", "notAfter"), when(data, "status", "renewalTime"), scene.now
    ready = condition(data, "Ready")
    message = short(text(ready, "message"), 300)
    code = said = ""
    if ends and now and ends <= now:
        code, said = "certificate.expired", f"expired {clock(ends)}"
    elif text(ready, "status") == "False":
        code, said = "certificate.not_issued", f"is not issued: {message or text(ready, 'reason')}"
    elif now and ((renews and now - renews > OVERDUE) or (renews is None and ends and ends - now < SOON)):
        code, said = "certificate.not_renewed", f"should have been renewed and ends {clock(ends)}"
    if not code:
        return None
    reading = scene.near(kept) if kept else scene.workload
    return finding(
        code,
        scene.target,
        f"Certificate {name} {said}",
        f"Certificate {name}, Secret {secret}, valid until {clock(ends)}, renewal due {clock(renews)}. {message}".rstrip(),
        [cite(reading, f"Certificate {name}", said)],
        next_steps=[
            f"Look at its last CertificateRequest: kubectl -n {scene.target.namespace} describe certificate {name}"
        ],
        secret=secret,
    )


def _healthy(scene: Scene) -> Finding:
    data = scene.workload.data
    ends, renews = when(data, "status", "notAfter"), when(data, "status", "renewalTime")
    return finding(
        "certificate.healthy",
        scene.target,
        f"Certificate {scene.target.name} is valid until {clock(ends)}",
        f"Its renewal is due {clock(renews)}. Nothing is proposed: nothing is broken now.",
        [cite(scene.workload, f"Certificate {scene.target.name}", f"notAfter {clock(ends)}")],
        healthy=True,
    )
