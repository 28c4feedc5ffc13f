"""The experiments that every serving team should run: one command each, a conclusion in words.

`experiment.py` says what an experiment is, `catalogue.py` which there are, `lab.py` where they
happen: on copies beside the user's fleet, or on any endpoint. Each has a file of its own, whose
conclusion is a pure function of what was measured; `finding.py` is what it ends with.
"""
