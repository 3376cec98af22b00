"""Runs a command from request to checked answer: the only place where context, prompts and inference meet."""
