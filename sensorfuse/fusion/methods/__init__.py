"""Fusion methods: one file each, a torch module from tokens and presence to fused tokens and weights. Training only.

Every method is made as `Method(layout, features, width)` and called as `method(*tokens, present, *state)`: tokens (B,
N_m, features) per modality in the layout's order, `present` (B, M) 1 or 0; it gives fused tokens (B, N, width), the
modalities' shares (B, M) and, if it is recurrent, its next state. A recurrent one has `initial_state(batch)`; one that
trains by more than the task's loss has `losses(*tokens, present)`, named terms to be added to it.
"""
