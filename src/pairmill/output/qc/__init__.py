"""Checks any instruction dataset: reads it, measures it, says what to do about what it found."""
