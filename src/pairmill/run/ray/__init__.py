"""Runs all parts of a run as tasks of a Ray cluster, and merges them."""
