"""Builds the food set that ships in `ivl.zoo`: what is known of each food, the questions and the pictures."""
