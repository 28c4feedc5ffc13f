"""The API server's twin: what Headrace asks of a cluster, in memory, over real HTTP.

For tests and for trying `apply` without a cluster. `server.py` speaks HTTP, `requests.py` does what
a request asks, `store.py` keeps objects and their history, `ownership.py` is server-side apply,
`removal.py` deletion. It has no controllers: nothing runs, unless whoever holds the twin says so.
"""
