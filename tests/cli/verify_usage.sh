gqa-verify
gqa-verify one two
gqa-verify --format xml one
gqa-verify --report report.txt one
gqa-verify --original-config config.json one
gqa-verify --threads 0 one
gqa-verify ''
