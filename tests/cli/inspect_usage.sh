try() {
    gqa-inspect "$@"
    echo "exit $?"
}
try
try a b
try ''
try --no-such-option
try --context 0 a
try --context=4q a
try --batch -1 a
try -t 99999 a
try --config
try no-such-file
: >empty
try empty
