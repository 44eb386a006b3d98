gqa-convert
