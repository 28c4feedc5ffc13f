"""Floor 2: pure policy; how many replicas. No sockets, clocks or files.

`policy` is what a person writes down, `signals` what the gateway and the runtime see. `decide.step`
turns both into a decision, by two loops: `hpa` (1..N, from `history` and within `rates`) and `keda`
(0 and back). `reasons` says in a sentence what each loop found.
"""
