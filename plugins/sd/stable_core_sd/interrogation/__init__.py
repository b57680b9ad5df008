"""From a picture to words that may make one like it: captions, matching phrases, tags."""
