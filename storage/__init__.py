"""What is remembered: the journal, and everything that is read back from it."""
