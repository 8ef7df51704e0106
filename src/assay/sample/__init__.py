"""Samplers: choose while a model trains; one file per method."""
