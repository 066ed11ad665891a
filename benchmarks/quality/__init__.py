"""Retrieval quality: datasets of questions with known answers, for the product and for each lane alone."""
