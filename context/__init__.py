"""Reads a vault: notes, links, maps, search, and the context a question needs. Never writes a note."""
