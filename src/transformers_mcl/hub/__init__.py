"""Checkpoints on their way to and from others: the model card."""
