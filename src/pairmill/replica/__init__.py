"""Replica of a run folder in an object store: ownership, uploads, and restoring it."""
