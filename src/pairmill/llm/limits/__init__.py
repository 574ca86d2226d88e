"""The gate: when a call may go, and what is learned from servers about it."""
