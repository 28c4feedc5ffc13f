"""Floor 4: the runtime of one machine. Carries out decisions; makes none."""
