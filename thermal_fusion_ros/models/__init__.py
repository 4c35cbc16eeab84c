"""Networks, as plain ``torch.nn``."""
