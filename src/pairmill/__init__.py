"""pairmill turns raw articles into an instruction-tuning dataset with language models."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
