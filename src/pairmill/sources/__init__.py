"""Readers, one file per format: each streams documents and reports what it skips.

A format is a `base.SourceFormat`: a file of its own and a line in ``registry.py``; see
docs/sources.md.
"""
