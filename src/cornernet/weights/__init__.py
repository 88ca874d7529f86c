"""Checkpoints: the published ones, foreign formats, our own, and how to load each safely."""
