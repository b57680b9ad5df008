"""Small networks beside a checkpoint: LoRA, textual inversion, hypernetworks. It holds no part of the checkpoint."""
