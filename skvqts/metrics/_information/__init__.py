"""Information in nats: of discrete distributions, of continuous variables, and of tokens."""
