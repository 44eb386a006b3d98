gqa-inspect --tensors "$DATA/good/flat-late"
gqa-inspect --json --tensors "$DATA/good/flat-late" 2>/dev/null |
    grep -E 'n_unwritten|"written"' | sort | uniq -c
