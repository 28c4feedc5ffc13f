"""One concern of a cluster a file: each turns a workload or a fleet into plain objects."""
