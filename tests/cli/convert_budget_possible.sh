# Numbers of KV heads are chosen of those that a conversion can make: CodeGen's
# heads lie in 4 blocks, and words of a folder's configuration may tell but one
# or all.
try() {
    echo "== $*"
    gqa-convert -f -m aligned --samples 8 --length 16 "$@" |
        sed -n 's/, mean KL.*//; s/: mean KL.*//; /^KV heads  *[0-9]/p; /^chosen/p'
    echo "exit ${PIPESTATUS[0]}"
}
codegen=$DATA/families/codegen
try --kv-budget 50% "$codegen" out.gqa
gqa-verify -q --no-run --against "$codegen" out.gqa && echo verified
# The same is learnt as with numbers that are given.
gqa-inspect --recipe out.gqa | grep sha256 >chosen
try -g 4 "$codegen" out.gqa
gqa-inspect --recipe out.gqa | grep sha256 | cmp - chosen
try --kv-budget 80% "$codegen" out.gqa
try --kv-budget 50% --uniform "$codegen" out.gqa
try --max-kl 1 "$codegen" out.gqa
try --max-kl 1 --uniform "$codegen" out.gqa
try --kv-budget 25% "$codegen" out.gqa
gqa-convert -f --kv-budget 50% --uniform "$codegen" out.gqa |
    grep '^KV heads  *[0-9]'
gqa-convert -f -g 16 "$codegen" out.gqa
gqa-inspect --plan "$codegen" | sed -n '/^KV heads/,/^$/p; /layer-groups/p'
gqa-inspect --kv-cache "$codegen" | sed -n '/^KV heads/,$p'
gqa-inspect --plan --budget 25% "$codegen" >/dev/null
gqa-inspect --similarity --groups 2 "$codegen" >/dev/null
gqa-inspect --similarity "$codegen" |
    awk '/^decoder/ { print "shown: " $(NF - 1) }'

falcon=$DATA/families/falcon
try --kv-budget 60% --uniform "$falcon" out/
gqa-verify -q --no-run --against "$falcon" out && echo verified
try --max-kl 9 --uniform "$falcon" out/
try --kv-budget 60% --allow-hybrid "$falcon" out/
try --kv-budget 60% --uniform "$falcon" out.gqa

# Each has one already.
try --max-kl 1 "$DATA/families/falcon-7b" out.gqa
try --max-kl 1 --uniform "$DATA/families/falcon-7b" out.gqa
