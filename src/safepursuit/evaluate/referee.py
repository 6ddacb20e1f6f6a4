"""Judging recorded games by independent geometry."""
