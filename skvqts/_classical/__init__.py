"""Transformers without a network: the short-time Fourier transform, and codes of windows."""
