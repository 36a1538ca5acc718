"""Votes: what people and judges preferred; studies, and the page of their raters."""
