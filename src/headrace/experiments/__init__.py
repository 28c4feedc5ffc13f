"""The experiments that every serving team should run: one command each, a conclusion in words."""
