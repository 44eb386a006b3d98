gqa-uptrain --help
