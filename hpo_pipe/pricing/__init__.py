"""What providers say that an hour of a machine costs."""
