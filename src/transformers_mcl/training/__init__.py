"""Pre-training of a pair with transformers' Trainer."""
