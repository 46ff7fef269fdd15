"""Numbered SQL files, applied in order, each in one transaction. What they lay is never dropped: the log itself."""
