"""From a pre-trained encoder to a task's model and its score."""
