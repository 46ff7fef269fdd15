"""Composition, the agent and its tools: the only package that knows all the others."""

VERSION = "0.1.0"
