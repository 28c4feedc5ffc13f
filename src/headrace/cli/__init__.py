"""Top: one short module per verb. Reads arguments, calls a room below, prints; decides nothing."""
