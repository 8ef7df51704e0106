"""Filters: rules over measured columns, one file each."""
