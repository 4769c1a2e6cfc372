"""A synthetic archive whose truth is known."""
