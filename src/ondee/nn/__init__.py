"""Plain torch networks that know nothing of rain."""
