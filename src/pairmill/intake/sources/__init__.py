"""Readers, one file a format: each yields documents as a stream."""
