"""Codebooks of windows, whose counts are features: which windows of the training series occur."""
