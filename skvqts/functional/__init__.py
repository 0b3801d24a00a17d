"""Pure functions of tensors: the arithmetic of the papers, one idea per module.

This package is for readers and for the other code of the library. It is not part of the public
API: names and signatures may change in any release.
"""
