# Both kinds of cache, with what could be kept in their place; rotated keys,
# grouped already.
gqa-inspect --plan --budget 25% "$DATA/sample/t5-tiny16"
gqa-inspect --budget 80% --similarity "$DATA/runtime/llama-grouped"
