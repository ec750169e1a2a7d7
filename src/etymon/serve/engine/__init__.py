"""What computes the answers: llama.cpp in a process of its own, or a server that runs elsewhere."""
