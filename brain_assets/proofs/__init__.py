"""Proofs that a user can run: what the models find where the answer is known."""
