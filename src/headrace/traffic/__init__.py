"""Floor 1: what is asked of models: lengths and arrivals, recorded or declared."""
