# A student that is made on the way: what cannot be is refused before it is made,
# and it leaves nothing behind, also where the run is killed.
sample=$DATA/sample/t5-tiny16/tf_model.h5
try() {
    local status
    echo "== $*"
    gqa-uptrain -vv --steps 2 --batch 2 --length 16 --eval-sequences 2 \
        --rate 1e-3 --teacher "$sample" "$@" 2>messages >summary
    status=$?
    echo "exit $status"
    grep -q 'pooling and writing' messages && echo made
    ((status != 2)) || tail -n 1 messages | sed 's/training .*/training .../'
    grep -E '^(trained|dry run)' summary
    rm -f summary messages
}
touch there.gqa
try --groups 3 out.gqa
try --groups 16 out.gqa
try --groups 4 there.gqa
try --groups 4 nowhere/out.gqa
try --groups 4 --train nothing out.gqa
try --groups 4 --samples 2G --length 1M out.gqa
try --groups 4 --method mean --dry-run out.gqa
try --groups 4 --method mean out.gqa
mkdir folder
try --groups 8 --method first folder/
ls -A . folder
gqa-inspect --json --recipe out.gqa |
    grep -oE '"name": "(conv|the|tf)[^"]*"'
# Killed in the middle of all
rm -r folder out.gqa
for wait in 0.05 0.2 0.5; do
    timeout -s KILL "$wait" gqa-uptrain -q --steps 100000 --teacher "$sample" \
        --groups 4 killed.gqa
done 2>/dev/null
ls -A
