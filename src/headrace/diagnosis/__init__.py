"""Which of admission, generation and life cycle is at fault, from figures alone; pure.

`headrace.bench` collects the figures, of a finished run or a live fleet.
"""
