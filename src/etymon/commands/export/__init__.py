"""A model handed on: as a folder for the Hugging Face hub, or as a GGUF file for llama.cpp, with its papers."""
