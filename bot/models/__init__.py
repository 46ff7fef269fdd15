"""What answers for the agent: the built-in diagnostician (rules) and any OpenAI-compatible server."""
