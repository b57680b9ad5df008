"""Training embeddings and hypernetworks on a few pictures, on top of a checkpoint that stays as it is."""
