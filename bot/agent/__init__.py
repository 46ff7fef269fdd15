"""The agent: advance(run_id) takes one run from its journal as far as it can go without a person."""
