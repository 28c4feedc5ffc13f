"""Floor 1: one file per engine; the only place that knows flags, metrics and manners by version."""
