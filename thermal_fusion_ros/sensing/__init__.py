"""From camera streams to pairs that may be trusted: time, temperature, contrast, lenses."""
