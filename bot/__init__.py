"""Composition, the agent and its tools: the only package that knows all the others."""
