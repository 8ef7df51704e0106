"""Mixers: weights for domains; one file per method."""
