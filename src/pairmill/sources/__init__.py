"""Readers, one file a format: each yields documents as a stream, and reports what it skips.

A format is a `base.Format`: a file of its own, and a line in ``registry.py``; see docs/sources.md.
"""
