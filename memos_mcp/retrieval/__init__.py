"""The policy of finding: passages, context, fusion of scores, reranking, pagination and packing. Pure functions."""
