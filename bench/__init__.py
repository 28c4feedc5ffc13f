"""What the gateway costs: it, nginx and vllm-router between the same client and back ends.

`__main__` reads the command line; `plan` says what is run, in which order; `measure` makes one
measurement out of a back end (`backend`), a proxy (`contenders`) and a load (`client`); `figures`
reads numbers from the measurements, `report` makes a table of them and `verdict` judges.
"""
