# Nothing that comes out depends on what memory held before: fresh memory is
# filled with one byte, then with another, and all is the same. malloc() does
# it where MALLOC_PERTURB_ says so, a sanitizer's where ASAN_OPTIONS does.
run() {
    local name=$1 input=$2 status=0

    mkdir "$name"
    gqa-convert -g 1 "$input" "$name/out.safetensors" \
        >/dev/null 2>"$name/messages" || status=$?
    gqa-inspect --json --stats "$input" >"$name/json" 2>"$name/more" ||
        status+=,$?
    [[ $status =~ ^[02](,2)?$ ]] || echo "$input: exit status $status"
    echo "$status" >"$name/status"
    # Of a sanitizer's report of the library, nothing; of ours, not the name.
    sed -i -e '/^gqa-/!d' -e "s|$name/|OUT/|" "$name/messages" "$name/more"
}

run_filled() {
    export MALLOC_PERTURB_=$(($2 ^ 255))
    export ASAN_OPTIONS=$options:malloc_fill_byte=$2:max_malloc_fill_size=100000000
    run "$1" "$3"
}

options=${ASAN_OPTIONS-}
n=0
for input in "$DATA"/good/*/*.h5 "$DATA"/bad/h5-*; do
    run_filled one 97 "$input"
    run_filled two 85 "$input"
    diff -r one two || echo "$input"
    rm -r one two
    n=$((n + 1))
done
((n > 100)) || echo "only $n inputs"
