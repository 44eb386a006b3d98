gqa-verify --version
