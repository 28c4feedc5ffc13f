"""A whole fleet under load: many replicas behind the real gateway, conversations, long documents.

`__main__.py` measures prefix affinity, `mix.py` what routes do for short requests.
"""
