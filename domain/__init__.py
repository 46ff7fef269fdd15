"""Names for everything: the nouns, the events and the ports. Standard library only (and RFC 8785), no I/O."""
