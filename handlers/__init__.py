"""Slack's listeners, the outbox to Slack, and the HTTP intake of alerts."""
