"""Networks of sequences: causal convolutions of tokens, and attention to patches of series."""
