"""Annotators: columns out of columns, row by row; one file per method."""
