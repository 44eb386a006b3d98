# Where there is no system call filter, Landlock takes its place.
export ASAN_OPTIONS=detect_leaks=0
without || exit 77
without seccomp -- gqa-inspect -v "$DATA/sample/t5-tiny16/tf_model.h5" \
    2>&1 >out | grep Landlock
head -n 1 out
