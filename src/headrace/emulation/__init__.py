"""Floor 3: engine twins, stand-ins for tests and drills that can misbehave on command.

`__main__.py` is the command; a request goes http > faces > request > engine > openai > http, and
in the engine through `prefill.py` (`cache.py`, `adapters.py`) to its first token.
"""
