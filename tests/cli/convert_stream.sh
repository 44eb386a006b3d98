# "-" is standard input and standard output: a pipe carries the very bytes of
# the file, and what does not arrive is an error.
# They depend on the version of libzstd.
sizes() { sed -E 's/gqa, [^,]*,/gqa, SIZE,/'; }
t5=$DATA/sample/t5-tiny16
gqa-convert -q -g 8 "$t5" file.gqa
gqa-convert -q -g 8 "$t5" file.safetensors
gqa-convert -g 8 "$t5" - 2>summary | cat >piped.gqa
gqa-convert -q -g 8 --to safetensors "$t5" - >piped.safetensors
cmp file.gqa piped.gqa
cmp file.safetensors piped.safetensors
sed '/^time/d; /^size/d' summary
gqa-convert -qj -g 8 "$t5" - 2>&1 >/dev/null | grep output
gqa-convert -g 8 --dry-run --store "$t5" - 2>&1 >dry | grep output
cat dry

echo '== read'
cat file.gqa | gqa-inspect - | head -4 | sizes
cat file.safetensors | gqa-convert -q -g 8 - - | gqa-inspect - | head -4 | sizes
gqa-inspect - <file.safetensors | head -2 | sizes
cat "$t5/tf_model.h5" | gqa-convert -q -g 8 --config "$t5/config.json" - h5.gqa
gqa-verify -q --no-run --against file.gqa h5.gqa
cat file.gqa | gqa-verify --no-run --against "$t5" - | tail -2 | head -1 | sizes
gqa-verify --no-run --against - file.gqa <"$t5/tf_model.h5" \
    --original-config "$t5/config.json" | tail -2 | head -1 | sizes
# From where it stands on.
{ head -c 5 >/dev/null; gqa-inspect -; } \
    < <(printf 'first'; cat file.gqa) | head -2 | sizes
printf 'first' | cat - file.gqa >behind
{ dd bs=1 count=5 of=/dev/null 2>/dev/null; gqa-inspect -; } <behind | head -2 | sizes

echo '== refused'
exec 3>&1
try() { "$@" || echo "exit $?" >&3; }
try gqa-convert -g 8 --to gqa "$t5" x.gqa
try gqa-convert -g 8 --to folder "$t5" -
try gqa-convert -g 8 --to safetensors --store "$t5" -
try gqa-verify --against - - <file.gqa
try gqa-inspect - </dev/null
try gqa-inspect - < <(head -c 40000 file.gqa)
try gqa-inspect - < <(head -c 40000 file.safetensors)
yes | try gqa-inspect -
yes '{"weight_map": {}, ' | try gqa-inspect -
try gqa-inspect - <"$DATA/good/t5-sharded/model.safetensors.index.json"
try gqa-inspect - <.
try gqa-convert -f -g 4 - - <file.gqa 1<>file.gqa
try gqa-convert -f -g 4 - file.gqa <file.gqa
cat file.gqa | TMPDIR=/missing try gqa-inspect -
cat file.gqa | (ulimit -f 8; try gqa-inspect -)
cmp file.gqa piped.gqa

echo '== not written'
try gqa-convert -g 8 "$t5" - >/dev/full
try gqa-convert -g 8 "$t5" - >&-
{
    sleep 0.1
    gqa-convert -g 8 --to safetensors "$t5" - 2>err
    echo "exit $?: $(sed 's/after [0-9]* of/after N of/' err)" >&2
} | head -c 100 >/dev/null
(
    ulimit -f 100
    try gqa-convert -g 8 --to safetensors "$t5" - >limited
)
rm limited
ls -A
