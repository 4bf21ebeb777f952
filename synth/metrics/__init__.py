"""What is measured, each figure with its interval and its real-vs-real reference."""
