"""A gateway under hostile and broken clients: `python -m bench.fuzz`.

`inputs.py` and `generated.py` make the bytes, `drive.py` sends them, `replies.py` judges what comes
back, `engine.py` judges what reaches an engine, `watch.py` looks for leaks, `run.py` joins them.
"""
