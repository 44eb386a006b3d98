# The parser of HDF5 is confined whatever the system has, or does not run
# unless that is asked for; what the system lacks is no fault of the file's.
# Looking for leaks takes another process.
export ASAN_OPTIONS=detect_leaks=0
h5=$DATA/sample/t5-tiny16/tf_model.h5
try() {
    local -a lacks=()

    while [[ $1 != -- ]]; do
        lacks+=("$1")
        shift
    done
    shift
    echo "== ${lacks[*]}: ${*:1:$#-1}"
    without "${lacks[@]}" -- "$@" >out 2>err
    echo "exit $?"
    head -n 1 out
    sed "s|$DATA|DATA|g" err | grep -E 'sandbox|this system|parser'
}
without landlock -- true || exit 77
try landlock -- gqa-inspect -v "$h5"
try seccomp landlock -- gqa-inspect "$h5"
try seccomp landlock -- gqa-inspect -v --unsafe-hdf5 "$h5"
try seccomp landlock -- gqa-convert -n -g 8 "$h5" out.gqa
try seccomp landlock -- gqa-convert -vn -g 8 --unsafe-hdf5 "$h5" out.gqa
try seccomp landlock -- gqa-verify "$h5"
try seccomp landlock -- gqa-verify -v --no-run --unsafe-hdf5 "$h5"
try fork -- gqa-inspect "$h5"
