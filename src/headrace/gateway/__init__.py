"""Floor 4: the data plane. Sockets, streaming, queues, holding; no engine or cluster names."""
