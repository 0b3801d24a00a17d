"""Networks: constructors and forward passes, without seeding, files or an optimiser."""
