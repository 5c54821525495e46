"""Fine-tuning: recipes, the training loop, checkpoints and reports."""
