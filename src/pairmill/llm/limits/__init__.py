"""The gate: when a call may be sent, and what servers reveal about their limits."""
