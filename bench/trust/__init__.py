"""Whether `headrace bench` measures what vLLM's own `bench serve` measures, on the same real vLLM.

`python -m bench.trust` starts an engine (`engine.py`), lets both clients send the same prompts at
the same times in turns (`ours.py`, `theirs.py`), and compares (`compare.py`).
"""
