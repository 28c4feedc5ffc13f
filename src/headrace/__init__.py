"""Headrace: one reviewed file becomes LLM serving that holds up. Start reading at docs/map.md."""
