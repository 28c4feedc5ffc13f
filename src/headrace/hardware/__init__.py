"""Floor 1: what an accelerator or this machine offers."""
