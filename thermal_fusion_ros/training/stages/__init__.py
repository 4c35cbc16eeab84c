"""One module per thing that can be trained: `thermal-fusion train STAGE`."""
