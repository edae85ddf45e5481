"""A local page on a run: move a setting and see what changes, with the engine that scores."""
