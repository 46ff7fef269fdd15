"""Replay: a recorded run told again, and what today's code, another policy or another model would make of it."""
