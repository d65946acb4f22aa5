"""What is on disk. One contract (`base`), and its implementations."""
