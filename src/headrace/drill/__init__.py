"""Breaks a running fleet on purpose and tells what its clients saw: `headrace drill`.

`run.py` is the whole of it: clients (`load.py`) keep asking while somebody does harm (`harm.py`),
each answer is judged by what came over the wire (`judge.py`), and `report.py` adds it up.
"""
