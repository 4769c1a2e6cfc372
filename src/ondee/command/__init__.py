"""The work of each command: check the names, do it, write it, draw it."""
