"""Editors: new rows out of rows, each naming its parent; one file per method."""
