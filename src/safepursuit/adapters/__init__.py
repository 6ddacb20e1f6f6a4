"""How other software reaches the package: one adapter for each, each with an extra of its own."""
