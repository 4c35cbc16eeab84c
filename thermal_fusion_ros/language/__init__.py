"""From words to the guidance code."""
