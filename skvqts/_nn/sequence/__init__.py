"""Networks of sequences: convolutions of tokens that see those before them."""
