"""A stand-in Kubernetes cluster on loopback: the API server's REST, and controllers that behave like the real ones.

It knows nothing of who uses it. Programs in images behave as a table says (`Behaviour`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from bot.local.cluster.behaviour import Behaviour
from bot.local.cluster.controllers import Controllers
from bot.local.cluster.kubelet import Kubelet
from bot.local.cluster.objects import Objects
from bot.local.cluster.pace import Pace
from bot.local.cluster.rbac import ALL_BUT_SECRETS, EVERYTHING, User, load_rules
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.resources import BY_KIND, RESOURCES, Obj
from bot.local.cluster.scheduler import Scheduler
from bot.local.cluster.server import Asked, Server, listening
from bot.local.cluster.store import Store
from bot.local.cluster.world import IMAGES, seed
from bot.local.cluster.written import Written

__all__ = ["Asked", "Behaviour", "Cluster", "Written"]

AGENT = "system:serviceaccount:personal-agent:personal-agent"
ADMIN = "kubernetes-admin"


class Cluster:
    """A cluster for the length of an `async with`.

    port: 0 for a free one. speed: 1 runs at the demo's pace, 10 ten times faster. world: whether to fill it with the
    shop; without it there are only three nodes and the namespaces default and kube-system.
    `token` is the agent's, allowed everything but secrets until `load_role` says otherwise; `admin_token` is anybody
    else's who may do everything (a CI system, a monitor). `images` says how each image behaves.
    written: a world that is this and nothing else, and in which nothing moves by itself.
    """

    def __init__(
        self, port: int = 0, speed: float = 1.0, *, world: bool = True, written: Written | None = None
    ) -> None:
        self.port = port
        self._written = written
        self.token, self.admin_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.images: dict[str, Behaviour] = dict(IMAGES)
        self._agent = User(AGENT, ("system:serviceaccounts", "system:authenticated"), ALL_BUT_SECRETS)
        self._world = world
        self._pace = Pace(speed)
        self._store = Store()

    async def __aenter__(self) -> Self:
        store, objects = self._store, Objects(self._store)
        recorder = Recorder(store)
        self._controllers = Controllers(objects, self._pace, recorder)
        scheduler = Scheduler(store, self._pace, recorder)
        self._kubelet = Kubelet(store, self._pace, recorder, self.images)
        if self._written is not None:
            self._kubelet.written = self._written.logs
            for obj in self._written.objects:
                self.seed(obj)
        else:
            for listener in (self._controllers.on_change, scheduler.on_change, self._kubelet.on_change):
                store.subscribe(listener)
            seed(store, self._kubelet, shop=self._world)
        admin = User(ADMIN, ("system:masters", "system:authenticated"), EVERYTHING)
        self._server = Server(objects, self._kubelet, {self.token: self._agent, self.admin_token: admin})
        self._runner, self.port = await listening(self._server, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.close()
        self._controllers.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Asked]:
        """Every request so far, oldest first; at most the last 5,000."""
        return list(self._server.asked)

    def load_role(self, path: Path) -> None:
        """Allows the agent's token exactly what a YAML file of Roles and bindings allows."""
        self._agent.rules = load_rules(path)

    def seed(self, obj: Obj) -> Obj:
        """Stores an object as it is, status included, past every check: a test's way to a state."""
        resource = BY_KIND[obj["apiVersion"], obj["kind"]]
        return self._store.create(resource, obj)

    async def until(self, kind: str, namespace: str, name: str, holds: Callable[[Obj], bool]) -> Obj:
        """Waits until an object is there and `holds` is true of it, and answers it."""
        while True:
            revision, found = self._store.revision, self._find(kind, namespace, name)
            if found is not None and holds(found):
                return found
            await self._store.advanced(revision)

    async def until_gone(self, kind: str, namespace: str, name: str) -> None:
        """Waits until an object is deleted."""
        while self._find(kind, namespace, name) is not None:
            await self._store.advanced(self._store.revision)

    def _find(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self._store.get(next(r for r in RESOURCES if r.kind == kind), namespace, name)

    def behave(self, image: str, behaviour: Behaviour, seconds: float) -> None:
        """Lets an image behave otherwise for a while (seconds at speed 1), for every start in that time."""
        usual = self.images.get(image)
        self.images[image] = behaviour

        def restore() -> None:
            self.images.pop(image)
            if usual is not None:
                self.images[image] = usual

        self._pace.after(("behave", image), seconds, restore)

    def throttle(self, requests: int, retry_after: int = 1) -> None:
        """Answers the next requests with 429 and Retry-After (seconds)."""
        self._server.throttled, self._server.retry_after = requests, retry_after

    def compact(self) -> None:
        """Forgets old revisions: watches from them get 410, and so do continue tokens."""
        self._store.compact()
        self._server.lists.forget()

    def write_kubeconfig(self, path: Path) -> Path:
        """Writes a kubeconfig for the agent's token, readable by its owner only, and answers its path."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
            "users": [{"name": "agent", "user": {"token": self.token}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "agent"}}],
            "current-context": "stand-in",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), "utf-8")
        return path
