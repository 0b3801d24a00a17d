"""Generators of series: two stages, sampling, gaps."""
