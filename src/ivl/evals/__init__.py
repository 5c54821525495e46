"""Evaluation: questions with known answers, asked of models and adapters side by side, scored and reported."""
