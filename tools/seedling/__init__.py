"""Builds the small model that ships in `ivl.zoo`: artwork, scenes, questions, training and evaluation."""
