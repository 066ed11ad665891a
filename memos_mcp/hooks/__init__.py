"""`memos-as hook EVENT`: what a client's hooks run, so that the memory is asked without the model asking it."""
