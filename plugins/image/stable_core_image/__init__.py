"""The image plugin: everyday image work with Pillow. No model and no numpy."""
