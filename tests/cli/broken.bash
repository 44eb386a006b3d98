# shellcheck shell=bash
# What gqa-verify finds in a conversion that was broken on purpose.

# broken ORIGINAL CONVERTED TENSOR MISTAKE [ARGUMENT]...
broken() {
    local original=$1 converted=$2 status=0
    shift 2
    rm -rf broken && cp -R "$converted" broken
    break_weights broken/model.safetensors "$@"
    echo "== $2"
    gqa-verify --no-run --format tap --against "$original" broken >out ||
        status=$?
    grep -A 1 '^not ok' out
    echo "exit $status"
}
