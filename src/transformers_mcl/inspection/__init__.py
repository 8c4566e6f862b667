"""What the courses do to one sentence."""
