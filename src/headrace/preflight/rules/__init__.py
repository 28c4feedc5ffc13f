"""The rules, by what they are about; `all_rules.py` lists them."""
