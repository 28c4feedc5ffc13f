"""Floor 1: what a model is, where its weights come from, and how they are kept whole."""
