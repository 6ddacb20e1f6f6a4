"""Attacks: a search for collisions behind the shield, random policies behind a head, imperfections behind a run."""
