# Nothing is calibrated for an output that is refused: what is missing to do
# that is not told of.
try() {
    gqa-convert --method aligned --calibrate missing.tokens "$@" \
        "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
}

echo precious >model.gqa
try --groups 4
try --kv-budget 50%
status=$?
cat model.gqa
exit $status
