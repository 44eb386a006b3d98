# cmake -D INPUT=FILE -D OUTPUT=FILE.c -D NAME=NAME -D HEADER=HEADER.h -P embed_text.cmake
#
# A C file that defines the text of a file: const char NAME[], as HEADER.h
# declares it.
file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))"
    "\\1\n" bytes "${bytes}")
file(WRITE "${OUTPUT}"
"/* Made by cmake/embed_text.cmake. */
#include \"${HEADER}\"

const char ${NAME}[] = {
${bytes}0};
")
