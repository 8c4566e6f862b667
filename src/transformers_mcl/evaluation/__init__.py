"""What a trained model is worth: the official metrics of GLUE and SQuAD, span F1, and tables of results."""
