"""Training: data, losses and one module per stage."""
