"""What is done to pictures before and after sampling: sizes, masks, grids, colours. Pillow and numpy, no models."""
