gqa-inspect --version | sed 's/[0-9.]*$/X/'
gqa-inspect --help | head -n 1
