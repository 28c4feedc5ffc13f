"""Floor 2: pure arithmetic; what fits, and how much of it."""
