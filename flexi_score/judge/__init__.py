"""The judge: what timing cannot tell, asked of a language model, kept and replayed."""
