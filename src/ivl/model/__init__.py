"""Weights and maths of InternVL. Knows no text, no pictures, no processes."""
