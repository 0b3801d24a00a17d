"""The flow decoder, which draws series given their tokens."""
