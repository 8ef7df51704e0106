"""Groupers: rows into groups, the only methods that may shuffle; one file per method."""
