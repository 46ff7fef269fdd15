"""For every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# In a fresh clone Hypothesis first builds its table of Unicode, and CI's machines are shared: neither is a test's fault.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")
