"""What the stand-in cluster's containers used in the last week, as a Prometheus with cAdvisor would answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bot.local.cluster.world import IMAGES, SHOP
from bot.local.prometheus import Prometheus, Series

_MIB = 2**20
_ASKED: tuple[
    tuple[str, Callable[[int], float]], ...
] = (  # what is in a query, and its answer for a program of so many MiB
    ("container_cpu_usage_seconds_total", lambda mib: 0.06),
    ("quantile_over_time.*container_memory_working_set_bytes", lambda mib: mib * _MIB),
    ("max_over_time.*container_memory_working_set_bytes", lambda mib: mib * _MIB * 1.1),
    ("count_over_time.*container_memory_working_set_bytes", lambda mib: 7.0),
)


def used_for_a_week(prometheus: Prometheus) -> None:
    """Tell it what each of the shop's containers used; of what the cluster itself runs nothing is known."""
    for namespace in {app.namespace for app in SHOP}:
        programs = dict(_programs(namespace))
        for asked, amount in _ASKED:
            prometheus.tell(f'{asked}.*namespace="{namespace}"', _always(programs, amount))


def _programs(namespace: str) -> Iterator[tuple[str, int]]:
    for app in SHOP:
        behaviour = IMAGES.get(f"{app.image}:{app.history[-1][0]}")
        if app.namespace == namespace and behaviour is not None:
            yield app.name, behaviour.memory_mib


def _always(programs: Mapping[str, int], amount: Callable[[int], float]) -> Series:
    return lambda at: [({"workload": name, "container": name}, amount(mib)) for name, mib in programs.items()]
