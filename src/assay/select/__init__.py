"""Selectors: rows out of numbers under a limit; one file per method."""
