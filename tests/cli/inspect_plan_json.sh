# What members there are; numbers that are not whole are tested elsewhere.
gqa-inspect --json --plan "$DATA/runtime/llama-grouped" |
    sed -n '/"similarity"/,$p' |
    sed -E 's/-?[0-9]\.[0-9]+(e-[0-9]+)?/REAL/'
