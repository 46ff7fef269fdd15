"""The stand-in world on loopback. It imports nothing of ours but handlers.blocks, so that it cannot cheat."""
