"""How good the answers are: sets of questions with known answers, asked of the product and of each lane alone."""
