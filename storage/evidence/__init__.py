"""Evidence: what one run did, as files that prove themselves: a bundle, a timeline to print, an attestation per change."""
