"""Pure functions of tensors: the arithmetic of the papers, one idea per module."""
