"""Autoencoders with continuous latents: the plain one and the variational one."""
