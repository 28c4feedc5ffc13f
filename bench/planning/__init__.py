"""What the planner is worth: its errors against real engines, and how long it takes itself."""
