"""Training of the built-in nano model: drawing, captions, training, judging. Not needed to use the model."""
