"""The gate: when a call may go, and what servers teach about it."""
