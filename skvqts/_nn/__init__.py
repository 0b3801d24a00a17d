"""Networks: a constructor and a forward each; no seeding, no I/O, no training."""
