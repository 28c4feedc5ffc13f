"""Ground floor: the types of fleet.yaml, and errors that name its line."""
