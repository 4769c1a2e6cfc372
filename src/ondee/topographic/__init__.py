"""Latents that roll as the image moves: the Topographic VAE, its measures, and sequences to learn from."""
