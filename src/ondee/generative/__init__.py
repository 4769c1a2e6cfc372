"""Generative modelling as pure functions on tensors: noise, paths, losses, solvers."""
