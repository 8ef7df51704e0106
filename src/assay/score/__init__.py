"""Scorers: one number for each row, bigger is better; one file per method."""
