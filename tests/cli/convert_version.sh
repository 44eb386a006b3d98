gqa-convert --version
