"""Floor 2: pure policy; which route, which queue, which replica. No sockets, clocks or files."""
