"""What a pre-trained model can do: benchmarks, with the data and the numbers of each."""
