"""Floor 4: the same fleet on Kubernetes: objects, scaling, endpoints, and what carries them out."""
