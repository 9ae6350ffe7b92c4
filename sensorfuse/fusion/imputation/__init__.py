"""What an absent modality's features would have been, from those that are present, and how surely."""
