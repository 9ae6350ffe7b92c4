"""How good a strategy is: accuracy on unseen worlds."""
