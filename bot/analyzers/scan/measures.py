"""The queries behind "measured use": a week of cAdvisor's samples, by workload and container."""

from __future__ import annotations

WINDOW_DAYS = 7
MOST_SERIES = 1000

_HASH = "[bcdfghjklmnpqrstvwxz2456789]"
_OWNER = (
    r'label_replace(label_replace(%s, "workload", "$1", "pod", "(.+)-(?:[0-9]+|HASH{5})"),'
    r' "workload", "$1", "pod", "(.+)-HASH{6,10}-HASH{5}")'
).replace("HASH", _HASH)
"""A pod's name without what its owner added: PromQL knows no owners. Kubernetes' own letters for that have no vowels."""

_BUSIEST = f"max by (workload, container) ({_OWNER})"
_ONES = '{namespace="%s",container!="",container!="POD"}'
_MEMORY, _CPU = f"container_memory_working_set_bytes{_ONES}", f"rate(container_cpu_usage_seconds_total{_ONES}[5m])"
_DAYS = f"{WINDOW_DAYS}d"

MEASURES = {
    "memory": f"quantile_over_time(0.95, ({_BUSIEST % _MEMORY})[{_DAYS}:5m])",
    "memory_max": _BUSIEST % f"max_over_time({_MEMORY}[{_DAYS}])",
    "cpu": f"quantile_over_time(0.95, ({_BUSIEST % _CPU})[{_DAYS}:5m])",
    "days": f"count_over_time(({_BUSIEST % _MEMORY})[{_DAYS}:1d])",
}
"""Of the busiest replica at each moment, over rollouts: 95th percentile in bytes and cores, most bytes, days with samples."""

DEPRECATED = 'apiserver_requested_deprecated_apis{removed_release!=""} > 0'


def measure_of(what: str, namespace: str) -> str:
    """The query of one of MEASURES for a namespace, whose name Kubernetes has checked."""
    return MEASURES[what] % namespace
