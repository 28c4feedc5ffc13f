"""How long vLLM takes to its first right answer, started plainly and started by Headrace."""
