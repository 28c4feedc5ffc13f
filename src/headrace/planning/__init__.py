"""Floor 3: a fleet file, read against models, hardware and traffic, becomes a plan with reasons."""
