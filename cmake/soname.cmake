# gqa_soname(OUT LIBRARY...): the name that programs would load the first of
# these libraries by that is there: of the ABI that its headers are of. For
# libraries that are loaded when they are needed, not when a program starts.
function(gqa_soname out)
    foreach(library IN LISTS ARGN)
        execute_process(COMMAND "${CMAKE_READELF}" -d "${library}"
            OUTPUT_VARIABLE dynamic ERROR_QUIET)
        if(dynamic MATCHES "\\(SONAME\\)[^[]*\\[([^]]+)\\]")
            set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    message(FATAL_ERROR "no shared library among: ${ARGN}")
endfunction()
