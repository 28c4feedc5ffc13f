"""Floor 3: engine twins, stand-ins for tests and drills that can misbehave on command.

`__main__.py` is the command; a request goes http > faces > request > engine > openai > http.
"""
