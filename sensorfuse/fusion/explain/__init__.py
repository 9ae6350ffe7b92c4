"""Which sensors an output came from: Shapley shares per modality, and what attention looked at."""
