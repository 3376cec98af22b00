"""Speaks to the machines that run models. Gets messages and labels, never notes."""
