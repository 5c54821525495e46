"""Makes the small model that ships in `ivl.zoo`: artwork, scenes, documents, conversations, recipes."""
