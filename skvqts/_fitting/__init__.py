"""The seam between scikit-learn and torch: validation, training, reading; it knows no model."""
