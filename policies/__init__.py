"""Pure decisions: (action, situation, policy) -> Decision. Nothing here reads a clock, a file or the network."""
