"""Adapters for other software, one per library; most need an extra."""
