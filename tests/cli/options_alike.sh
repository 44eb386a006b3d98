# What every tool says of a command line that is wrong: one wording.
try() {
    echo "== $*"
    for tool in gqa-convert gqa-inspect gqa-uptrain gqa-verify; do
        "$tool" "$@" >out 2>&1
        echo "exit $?"
        grep -v '^try ' out
    done
}
try --help --bogus
try --version --thread 0 a b
try --help --thread
try -V --quite a b
try --jsno a b
try -x a b
try --n-heads=4q a
try --n-heads 3G a b
try --json=yes a b
try --ver a b
try
try a b c
try -- --help ''
for tool in gqa-convert gqa-inspect gqa-uptrain gqa-verify; do
    "$tool" --versi
    "$tool" --help >short
    "$tool" -h | cmp - short
    "$tool" --help --version | cmp - short
done
