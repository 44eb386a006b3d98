gqa-verify --help
