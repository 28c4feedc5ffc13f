"""What people see of a fleet, wherever it runs: states, events, the table of replicas."""
