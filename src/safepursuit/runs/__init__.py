"""The experiment's home on disk: configuration files, run folders, checkpoints, metric logs, the live display."""
