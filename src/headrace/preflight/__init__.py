"""Floor 3: mistakes found before a cluster finds them, in a fleet and in anybody's manifests."""
