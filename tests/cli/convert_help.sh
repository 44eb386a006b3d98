gqa-convert --help
