"""Checks and measures of pairs: pure functions of texts."""
