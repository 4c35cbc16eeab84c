"""What makes the tables of the README, docs/ and the model cards; `python -m benchmark.tables` makes them all."""
