"""The policy of retrieval: passages, context, fusion of scores, reranking, pagination and packing. Pure functions."""
