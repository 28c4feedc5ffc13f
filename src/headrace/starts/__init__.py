"""Every real start of a replica, phase by phase, and what starts take: the cold-start ledger."""
