"""Which of admission, generation and life cycle is at fault, from figures alone; pure.

`observation.py` is what was seen, `causes.py` what can be wrong, `rules/` how each cause shows,
`diagnose.py` the verdict. `headrace.bench.symptoms` observes a finished run,
`headrace.local.observing` a fleet that is up.
"""
