"""What a trained model is worth: the official metrics of each benchmark, and tables of results."""
