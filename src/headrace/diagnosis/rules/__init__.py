"""How each cause shows: a function of an observation each, that is silent in doubt."""
