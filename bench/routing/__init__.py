"""What choosing a replica costs, and what it brings, in virtual time."""
