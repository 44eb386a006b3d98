# cmake -D OUTPUT=FILE.c -P embed.cmake FAMILY.json...
#
# A C file with the texts of descriptions and, of each, what tells whether it
# may match: its model types, patterns of its attentions' names, and how the
# names of its KerasHub layers begin. Only those that may match are parsed
# when a tool runs.
cmake_policy(VERSION 3.25)

# string_list(OUT TEXT...): a C initialiser, NULL at its end
function(string_list out)
    list(REMOVE_DUPLICATES ARGN)
    set(text "")
    foreach(item IN LISTS ARGN)
        string(APPEND text "\"${item}\", ")
    endforeach()
    set(${out} "{${text}NULL}" PARENT_SCOPE)
endfunction()

# A value of a description or, where it says nothing, of those it is like.
function(get out json)
    string(JSON value ERROR_VARIABLE none GET "${json}" ${ARGN})
    if(none)
        set(value "")
        string(JSON like ERROR_VARIABLE none GET "${json}" like)
        if(NOT none)
            get(value "${text_of_${like}}" ${ARGN})
        endif()
    endif()
    set(${out} "${value}" PARENT_SCOPE)
endfunction()

# Patterns of the attentions of both stacks.
function(find_signs out json)
    set(signs "")
    foreach(stack encoder decoder)
        get(layers "${json}" stacks ${stack} layers)
        foreach(kind self cross)
            get(module "${json}" stacks ${stack} ${kind} module)
            if(layers AND module)
                list(APPEND signs "${layers}.${module}")
            endif()
        endforeach()
    endforeach()
    set(${out} "${signs}" PARENT_SCOPE)
endfunction()

# What comes before a layer's number in paths of KerasHub's variables.
function(find_keras_signs out json)
    set(signs "")
    string(JSON keras ERROR_VARIABLE none GET "${json}" keras)
    if(NOT none)
        string(REGEX MATCHALL "\"(path|whole)\" *: *\"[^\"%]+%" paths "${keras}")
        string(REGEX MATCHALL "\"layers\" *: *\"[^\"]+\"" layers "${keras}")
        foreach(path IN LISTS paths)
            string(REGEX REPLACE ".*\"([^\"%]+)%" "\\1" path "${path}")
            foreach(layer IN LISTS layers)
                string(REGEX REPLACE ".*\"([^\"]+)\"$" "\\1" layer "${layer}")
                string(REPLACE "$" "${layer}" sign "${path}")
                list(APPEND signs "${sign}")
            endforeach()
        endforeach()
    endif()
    set(${out} "${signs}" PARENT_SCOPE)
endfunction()

set(files "")
set(after_script FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
    if(after_script)
        list(APPEND files "${CMAKE_ARGV${i}}")
    elseif(CMAKE_ARGV${i} MATCHES "embed\\.cmake$")
        set(after_script TRUE)
    endif()
endforeach()

# Names alone tell the first family that they fit: what others are like comes
# before those, since its names are theirs too.
set(bases "")
set(heirs "")
foreach(file IN LISTS files)
    file(READ "${file}" json)
    string(JSON like ERROR_VARIABLE none GET "${json}" like)
    if(none)
        list(APPEND bases "${file}")
    else()
        list(APPEND heirs "${file}")
    endif()
endforeach()
set(files ${bases} ${heirs})

# Texts by what "like" may name: families, and model types where no family has
# that name.
foreach(file IN LISTS files)
    file(READ "${file}" json)
    string(JSON n LENGTH "${json}" model_types)
    math(EXPR n "${n} - 1")
    foreach(i RANGE ${n})
        string(JSON type MEMBER "${json}" model_types ${i})
        if(NOT DEFINED text_of_${type})
            set(text_of_${type} "${json}")
        endif()
    endforeach()
endforeach()
foreach(file IN LISTS files)
    file(READ "${file}" json)
    string(JSON name GET "${json}" family)
    set(text_of_${name} "${json}")
endforeach()

set(texts "")
set(items "")
foreach(file IN LISTS files)
    file(READ "${file}" json)
    # A tool that starts need not read indentation; lines stay what they are.
    string(REGEX REPLACE "\n +" "\n" text "${json}")
    string(HEX "${text}" hex)
    string(JSON name GET "${json}" family)
    cmake_path(GET file FILENAME base)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))"
        "\\1\n" bytes "${bytes}")
    string(MAKE_C_IDENTIFIER "${name}" id)

    set(types "")
    string(JSON n LENGTH "${json}" model_types)
    math(EXPR n "${n} - 1")
    foreach(i RANGE ${n})
        string(JSON type MEMBER "${json}" model_types ${i})
        list(APPEND types "${type}")
    endforeach()
    find_signs(signs "${json}")
    find_keras_signs(keras_signs "${json}")
    string_list(types ${types})
    string_list(signs ${signs})
    string_list(keras_signs ${keras_signs})
    string(APPEND texts
        "static const unsigned char text_${id}[] = {\n${bytes}};\n"
        "static const char *const types_${id}[] = ${types};\n"
        "static const char *const signs_${id}[] = ${signs};\n"
        "static const char *const keras_signs_${id}[] = ${keras_signs};\n")
    string(APPEND items
        "    {\"${name}\", \"formats/families/${base}\", (const char *)text_${id},\n"
        "     sizeof text_${id}, types_${id}, signs_${id}, keras_signs_${id}},\n")
endforeach()

file(WRITE "${OUTPUT}"
"/* Made by formats/families/embed.cmake. */
#include \"formats/families/load.h\"

${texts}
static const struct gqa_builtin_family items[] = {
${items}};

const struct gqa_library gqa_builtin_families = {
    items, sizeof items / sizeof *items};
")
