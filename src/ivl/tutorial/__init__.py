"""The tutorial: the whole story on one model, with the commands that a person types, and one page that tells it."""
