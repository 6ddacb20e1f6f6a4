"""Runs on disk: configuration files, run folders, checkpoints, metric logs; and the live display."""
