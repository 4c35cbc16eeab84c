"""Fusion, colour, target and depth metrics, the ranking of methods, and the HTML report."""
