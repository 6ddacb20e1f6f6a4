"""Barriers: rows of the safety program, the bound of its governor, and the class-K gains between them."""
