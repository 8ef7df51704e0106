"""The only folder that trains."""
