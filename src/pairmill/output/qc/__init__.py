"""Checks any instruction dataset: reads it, measures it, and gives advice."""
