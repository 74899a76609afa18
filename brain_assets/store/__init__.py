"""Trained models as flat folders that verify themselves."""
