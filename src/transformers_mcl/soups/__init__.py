"""Course soups: the weights of many checkpoints, averaged."""
