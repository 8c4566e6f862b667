"""The encoder, its heads, and the pair that is pre-trained."""
