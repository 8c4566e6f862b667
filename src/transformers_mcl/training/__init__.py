"""Training of a pair with transformers' Trainer."""
