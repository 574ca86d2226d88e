"""Readers, one file a format: each yields documents as a stream, and reports what it skips.

A new format is a file with a function of the type ``origin.Reader`` and a line in ``registry.py``.
"""
