"""What the load generator of `headrace bench` costs, and how far its times are from the truth.

`__main__.py` is the command. `server.py` writes into each token when it was sent, `ours.py` and
`naive.py` are clients of it in processes of their own, `timer.py` compares two ways to be on time.
"""
