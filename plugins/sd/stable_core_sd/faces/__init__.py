"""Finding faces in a finished picture and restoring them. It draws no pictures and knows no prompts."""
