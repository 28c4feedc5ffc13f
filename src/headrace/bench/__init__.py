"""Load on an OpenAI-compatible endpoint, measured so that the figures can be trusted.

`asks.py` is what is sent and when, `answers.py` what came back, `samples.py` what engine and
gateway said of themselves meanwhile; `run.py` holds a whole run, `summary.py` its figures,
`validity.py` why to doubt them, `report.py` the page with plots, `versus.py` what differs between
two runs. `measure.py` is what sends: processes (`worker.py`) in which a `sender.py` says when, a
`client.py` has the connections, and `reply.py` reads.
"""
