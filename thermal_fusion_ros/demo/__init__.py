"""The demo: a small made-up scene in both spectra, and the report about its replay."""
