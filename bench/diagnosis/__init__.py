"""Does the diagnosis name the right cause? Situations arranged on fleets, and it is told nothing.

`python -m bench.diagnosis` runs them all and prints who was taken for whom; `situations.py` has
those on engine twins, `real.py` those on vLLM, `stage.py` a fleet for one of them.
"""
