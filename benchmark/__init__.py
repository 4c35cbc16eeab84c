"""Measurements behind the README's and the model cards' tables; `python -m benchmark.tables` makes them all."""
