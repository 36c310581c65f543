"""Stands for a package from the index."""
from .case import title

__all__ = ["title"]
