"""What sensors measure of the synthetic world."""
