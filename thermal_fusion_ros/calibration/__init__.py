"""From synchronised views of a board to the geometry of an RGB-thermal rig."""
