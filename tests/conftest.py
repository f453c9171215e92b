"""Puts this folder on the path, so that every tier can use its doubles."""
